package api

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSecretKey(t *testing.T) {
	for _, key := range []string{"PASSWORD", "db_password", "dbPassword", "DB.PASSWD", "pwd", "client-secret", "API_TOKEN", "authToken", "Authorization",
		"auth", "Set-Cookie", "sessionId", "JWT", "api_key", "apiKey", "API_KEY", "AWS_ACCESS_KEY", "privateKey", "secret_key", "HTTPAuth"} {
		if !SecretKey(key) {
			t.Errorf("%s is not taken for a secret", key)
		}
	}
	for _, key := range []string{"monkey", "primary_key", "keyboard", "key", "keys", "author", "authority", "tokenizer", "passenger", "path", "secretary",
		"cookiecutter", "public_key", "sort_key", "PWDX", "sessions_count_total_x", "name", "", "apikeyx", "accesskeys"} {
		if SecretKey(key) {
			t.Errorf("%s is taken for a secret", key)
		}
	}
}

func TestRedactor_InnocentTextStaysWhole(t *testing.T) {
	r := NewRedactor(map[string]string{"PASSWORD": "short", "NAME": "hello world", "TOKEN": "a-long-secret"})
	for _, text := range []string{"monkey=banana", "primary_key: 7", "the keyboard is fine", "see http://example.com/a?b=c", "user@example.com",
		"short", "hello world", "{\"name\":\"x\"}", "time=12:30:45", "author: somebody", "basic training", "bearer bonds", "", "[FILTERED]"} {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestRedactor_PatternsWithinTexts(t *testing.T) {
	r := NewRedactor(nil)
	for text, want := range map[string]string{
		`password=hunter2 next`:             `password=[FILTERED] next`,
		`{"api_key": "x\"y", "a": 1}`:       `{"api_key": [FILTERED], "a": 1}`,
		`DB_PASSWORD='two words'; x`:        `DB_PASSWORD=[FILTERED]; x`,
		`GET http://me:pw@example.com/`:     `GET http://[FILTERED]@example.com/`,
		`Authorization: Bearer abc.def-ghi`: `Authorization: [FILTERED] [FILTERED]`,
		`sent Basic dXNlcjpwYXNz`:           `sent Basic [FILTERED]`,
		`password=[FILTERED] again`:         `password=[FILTERED] again`,
		`http://x/?token=abc&page=2`:        `http://x/?token=[FILTERED]&page=2`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestRedactor_OwnSecretsInEveryForm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[!-~]{6,40}`).Draw(rt, "secret")
		longer := secret + rapid.StringMatching(`[!-~]{1,10}`).Draw(rt, "more")
		r := NewRedactor(map[string]string{"MY_TOKEN": secret, "OTHER_PASSWORD": longer, "PLAIN": "visible"})
		for _, value := range []string{secret, longer} {
			raw := []byte(value)
			for _, form := range []string{value, url.QueryEscape(value), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)} {
				if got := r.Text("before " + form + " after"); strings.Contains(got, form) && !strings.Contains("before "+Filtered+" after", form) {
					rt.Fatalf("%q is left in %q", form, got)
				}
			}
		}
	})
}

func TestRedactor_Value(t *testing.T) {
	r := NewRedactor(map[string]string{"TOKEN": "a-long-secret"})
	got := r.Value(map[string]any{"password": map[string]any{"x": 1.0}, "list": []any{"a-long-secret", 1.0, nil}, "n": true})
	want := map[string]any{"password": Filtered, "list": []any{Filtered, 1.0, nil}, "n": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
