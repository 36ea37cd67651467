package api

import (
	"strings"
	"testing"
	"time"
)

func TestError_Body_TellsNoSecrets(t *testing.T) {
	r := NewRedactor(map[string]string{"DB_PASSWORD": "hunter2hunter2"})
	plain := Errorf(DockerAPIError, "cannot reach http://me:sesame@registry with hunter2hunter2, token=s3cr3t").
		With("api_key", "sesame").With("seen", []any{"hunter2hunter2", "Bearer sesame.sesame"}).With("kept", "visible")
	fields := Invalid(FieldError{"environment.A_TOKEN", "must be a string, not a number"}, FieldError{"image", `"http://me:sesame@x" is none`},
		FieldError{"environment.PASSWORD=s3cr3t", "hunter2hunter2 is no value"})
	for name, e := range map[string]*Error{"plain": plain, "fields": fields} {
		body := string(e.Masked(r).Body(time.Now()))
		for _, secret := range []string{"sesame", "s3cr3t", "hunter2"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s: %q is left in %s", name, secret, body)
			}
		}
		if name == "plain" && !strings.Contains(body, "visible") {
			t.Errorf("%s: %s", name, body)
		}
		unasked := string(e.Body(time.Now()))
		if strings.Contains(unasked, "sesame") || strings.Contains(unasked, "s3cr3t") || !strings.Contains(unasked, "hunter2hunter2") {
			t.Errorf("%s: without a container's own secrets: %s", name, unasked)
		}
	}
	if want := "environment.A_TOKEN: must be a string, not a number"; !strings.Contains(string(fields.Body(time.Now())), want) {
		t.Errorf("a key's own name reads like a secret's: %s", fields.Body(time.Now()))
	}
	if strings.Contains(fields.Message, Filtered) || fields.Fields[1].Message != `"http://me:sesame@x" is none` {
		t.Error("masking changed the error itself")
	}
}

func TestActivity_Event_TellsNoSecrets(t *testing.T) {
	a := Activity{Message: "token=s3cr3t", Details: map[string]any{"password": "sesame", "data": Encode(map[string]string{"auth": "sesame"}), "n": 7}}
	event := string(a.Event().Data)
	if strings.Contains(event, "s3cr3t") || strings.Contains(event, "sesame") || !strings.Contains(event, `"n":7`) {
		t.Errorf("got %s", event)
	}
	if empty := string((Activity{}).Event().Data); !strings.Contains(empty, `"details":{}`) {
		t.Errorf("without details: %s", empty)
	}
}
