package socketio

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		frame string
		want  inbound
	}{
		{`0`, inbound{kind: kindConnect}},
		{`0{"a":1}`, inbound{kind: kindConnect, data: json.RawMessage(`{"a":1}`)}},
		{`1`, inbound{kind: kindDisconnect}},
		{`2["e"]`, inbound{kind: kindEvent, event: "e"}},
		{`2 [ "e\u0041" , { "x":[1,2] } ] `, inbound{kind: kindEvent, event: "eA", args: 1, data: json.RawMessage(`{ "x":[1,2] }`)}},
		{`212["e",null,"],["]`, inbound{kind: kindEvent, ack: "12", event: "e", args: 2, data: json.RawMessage(`null`)}},
	} {
		got, f := parse([]byte(tt.frame))
		if f != nil {
			t.Errorf("%s: %v", tt.frame, f)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(inbound{}), cmp.Transformer("data", func(r json.RawMessage) string { return string(r) })); diff != "" {
			t.Errorf("%s: %s", tt.frame, diff)
		}
	}
}

func TestAddressed(t *testing.T) {
	for _, tt := range []struct{ frame, packet, namespace string }{
		{``, ``, "/"},
		{`0`, `0`, "/"},
		{`0{"a":"/x,"}`, `0{"a":"/x,"}`, "/"},
		{`0/`, `0`, "/"},
		{`0/,{}`, `0{}`, "/"},
		{`0/admin`, `0`, "/admin"},
		{`0/a.b/c?d=e,{}`, `0{}`, "/a.b/c"},
		{`2["/x,"]`, `2["/x,"]`, "/"},
		{`2/x,12["e"]`, `212["e"]`, "/x"},
		{`51-/x,["e"]`, `51-["e"]`, "/x"},
		{`5/x`, `5`, "/x"},
		{`5`, `5`, "/"},
	} {
		packet, namespace := addressed([]byte(tt.frame))
		if string(packet) != tt.packet || namespace != tt.namespace {
			t.Errorf("%s: %s for %s", tt.frame, packet, namespace)
		}
	}
}

// The parser is where strangers' bytes end: whatever it lets through is what encoding/json reads.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "0", `0{"token":"x"}`, "0/admin,", "1", `2["e"]`, `27["e",{"a":[1,"]"]}]`, `2["e\"",1,2]`, "3", "31[]", "4", "51-[]", `2["` + "\xff" + `"]`, `2["\ud800",{}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		packet, namespace := addressed(bytes.Clone(b))
		if namespace != "/" {
			if !bytes.Contains(b, []byte(namespace)) {
				t.Errorf("%q is for %q", b, namespace)
			}
			return
		}
		b = bytes.Clone(packet)
		p, no := parse(packet)
		if no != nil {
			if no.reason == "" || no.message == "" {
				t.Errorf("%q is refused without a reason", b)
			}
			if no.answerable && p.kind == kindEvent && p.event == "" && !bytes.Contains(b, []byte(`[""`)) {
				t.Errorf("%q is answerable, but nameless", b)
			}
			return
		}
		switch p.kind {
		case kindConnect:
			checkConnect(t, p)
		case kindEvent:
			checkEvent(t, b, p)
		}
	})
}

func checkConnect(t *testing.T, p inbound) {
	var auth map[string]any
	if len(p.data) > 0 && json.Unmarshal(p.data, &auth) != nil {
		t.Errorf("auth %q is no object", p.data)
	}
}

func checkEvent(t *testing.T, b []byte, p inbound) {
	var args []json.RawMessage
	if err := json.Unmarshal(b[1+len(p.ack):], &args); err != nil {
		t.Fatalf("%q was let through: %v", b, err)
	}
	var name string
	if err := json.Unmarshal(args[0], &name); err != nil || name != p.event {
		t.Errorf("%q: event %q, want %q (%v)", b, p.event, name, err)
	}
	if p.args != len(args)-1 {
		t.Errorf("%q: %d arguments, want %d", b, p.args, len(args)-1)
	}
	if p.args > 0 && !bytes.Equal(p.data, args[1]) {
		t.Errorf("%q: data %q, want %q", b, p.data, args[1])
	}
}
