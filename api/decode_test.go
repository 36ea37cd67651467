package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode_NamesEveryBadFieldAtOnce(t *testing.T) {
	var r DeclareRequest
	bad := Decode([]byte(`{"image":7,"envirnoment":{},"environment":{"A":1,"B":"b"},"init":"yes","ports":{"80":"x","81":null,"82":3},
		"restart_policy":{"nam":"always"},"command":"ls","entrypoint":["a",null],"user":null,"stop_grace_seconds":1.5,"labels":[],"name":"a","name":"b"}`), &r)
	got := map[string]string{}
	for _, f := range bad {
		got[f.Field] = f.Message
	}
	want := map[string]string{
		"image":              "must be a string, not 7",
		"envirnoment":        "is not a known field; did you mean environment?",
		"environment.A":      "must be a string, not 1",
		"init":               "must be true or false, not a string",
		"ports.80":           `"x" is not "address:port" with an IP address and a port of 0 to 65535`,
		"ports.81":           `must be a port number or "address:port"`,
		"restart_policy.nam": "is not a known field; did you mean name?",
		"command":            "must be an array, not a string",
		"entrypoint[1]":      "must be a string, not null; leave it out for its default",
		"user":               "must be a string, not null; leave it out for its default",
		"stop_grace_seconds": "must be a whole number, not 1.5",
		"labels":             "must be an object, not an array",
		"name":               "is given twice",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r.Environment["B"] != "b" || r.Ports["82"] != (HostPort{Port: 3}) {
		t.Errorf("good fields beside bad ones are lost: %+v", r)
	}
}

func TestDecode_RefusesWhatIsNoObject(t *testing.T) {
	for _, data := range []string{"", "null", "[]", "7", `"x"`, "{", `{"name"`, `{"name":}`, "{} {}", `{"name":"a"}x`} {
		var r DeclareRequest
		if len(Decode([]byte(data), &r)) == 0 {
			t.Errorf("%q was taken", data)
		}
	}
}

func TestDecode_BoundsItsAnswer(t *testing.T) {
	members := make([]string, 100_000)
	for i := range members {
		members[i] = `"` + strings.Repeat("k", 3) + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + jsonNumber(i) + `":1`
	}
	var r ReadRequest
	bad := Decode([]byte("{"+strings.Join(members, ",")+"}"), &r)
	if len(bad) != maxFieldErrors {
		t.Errorf("got %d field errors, want %d", len(bad), maxFieldErrors)
	}
}

func jsonNumber(i int) string { return string(Encode(i)) }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"image":"a","ports":{"80":80},"environment":{"A":"b"},"init":true}`))
	f.Add([]byte(`{"message":{"a":[1,{"b":null}]},"timeout_seconds":1e3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r DeclareRequest
		bad := Decode(data, &r)
		if !json.Valid(data) && len(bad) == 0 {
			t.Errorf("invalid JSON was taken: %q", data)
		}
		if len(bad) > 0 {
			return
		}
		r.Spec.Default("name")
		if len(r.Spec.Validate()) > 0 {
			return
		}
		var again Spec
		if bad := Decode(Encode(r.Spec), &again); len(bad) > 0 || !SameSpec(&r.Spec, &again) {
			t.Errorf("a valid spec does not survive its own encoding: %v\n%s\n%s", bad, Encode(r.Spec), Encode(again))
		}
	})
}

// Who writes a field's name as another program has it is told how it is called here.
func TestDecode_SaysWhichFieldWasMeant(t *testing.T) {
	for written, meant := range map[string]string{
		"env": "environment", "enviroment": "environment", "restart": "restart_policy", "restartPolicy": "restart_policy",
		"working-dir": "working_dir", "cmd": "command", "Image": "image", "healthchekc": "healthcheck", "mem": "", "spec": "",
		"x": "", "privileged": "", "___": "", strings.Repeat("image", 1000): "",
	} {
		want := "is not a known field; these are: code, command, desired_state, "
		if meant != "" {
			want = "is not a known field; did you mean " + meant + "?"
		}
		bad := Decode(Encode(map[string]int{written: 1}), &DeclareRequest{})
		if len(bad) != 1 || !strings.HasPrefix(bad[0].Message, want) {
			t.Errorf("%.20q: %+v, want %q", written, bad, want)
		}
	}
}
