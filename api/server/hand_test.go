package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

// What a schema does not say, and what clients of all kinds have been seen to send.
func TestContract_BadRequestsByHand(t *testing.T) {
	const invalid, ok = "validation_error", "<nil>"
	create, list := api.CreateContainer, api.ListContainers
	long := strings.Repeat("k", 300)
	s := serve(t)
	p := s.join()
	p.ask(api.ApplyContainer, `{"name":"web","image":"app"}`)
	for _, tt := range []struct {
		name, event, body, kind string
		fields                  []string
	}{
		{"-0", list, `{"limit":-0}`, ok, nil},
		{"1.0", list, `{"limit":1.0}`, invalid, []string{"limit"}},
		{"1e2", list, `{"limit":1e2}`, invalid, []string{"limit"}},
		{"1e309 as an integer", create, `{"image":"app","stop_grace_seconds":1e309}`, invalid, []string{"stop_grace_seconds"}},
		{"1e309 as a number", api.SendMessage, `{"container_id":"web","message":{},"timeout_seconds":1e309}`, invalid, []string{"timeout_seconds"}},
		{"-1e-400", api.SendMessage, `{"container_id":"web","message":{},"timeout_seconds":-1e-400}`, invalid, []string{"timeout_seconds"}},
		{"400 digits", api.StopContainer, `{"container_id":"web","if_generation":` + strings.Repeat("9", 400) + `}`, invalid, []string{"if_generation"}},
		{"a number in a string", list, `{"limit":"1"}`, invalid, []string{"limit"}},
		{"truth in a string", api.DeleteContainer, `{"container_id":"web","remove_volumes":"true"}`, invalid, []string{"remove_volumes"}},
		{"half a pair in a name", create, `{"image":"app","name":"we\ud800b"}`, invalid, []string{"name"}},
		{"half a pair in a value", create, `{"image":"app","environment":{"A":"\udfff"}}`, invalid, []string{"environment.A"}},
		{"half a pair behind a whole one", create, `{"image":"app","user":"\\\ud83d\ude00\ud83dx"}`, invalid, []string{"user"}},
		{"half a pair in a key", create, `{"image":"app","environment":{"\ud800":"x"}}`, invalid, []string{"environment.\ufffd"}},
		{"a whole pair", list, `{"labels":{"A":"\ud83d\ude00 \\ud800"}}`, ok, nil},
		{"__proto__", create, `{"image":"app","__proto__":{"admin":true}}`, invalid, []string{"__proto__"}},
		{"__proto__ in a patch", api.UpdateContainer, `{"container_id":"web","spec":{"__proto__":{"image":"x"}}}`, invalid, []string{"spec.__proto__"}},
		{"null for what is not there", api.UpdateContainer, `{"container_id":"web","spec":{"healthchek":null,"resources":{"cpu":null}}}`, invalid, []string{"spec.healthchek", "spec.resources.cpu"}},
		{"__proto__ as a label", list, `{"labels":{"__proto__":"x"}}`, ok, nil},
		{"constructor", list, `{"constructor":{"prototype":{}}}`, invalid, []string{"constructor"}},
		{"a field in capitals", create, `{"image":"app","Image":"b"}`, invalid, []string{"Image"}},
		{"a field with a space", create, `{"image":"app","name ":"b"}`, invalid, []string{"name "}},
		{"a look-alike of a field", create, `{"image":"app","n\u0430me":"b"}`, invalid, []string{"n\u0430me"}},
		{"the same key", create, `{"image":"app","image":"b"}`, invalid, []string{"image"}},
		{"the same key, escaped", create, `{"image":"app","im\u0061ge":"b"}`, invalid, []string{"image"}},
		{"the same key inside", create, `{"image":"app","environment":{"A":"1","A":"2"}}`, invalid, []string{"environment.A"}},
		{"the same key in a patch", api.UpdateContainer, `{"container_id":"web","spec":{"image":"a","image":"b"}}`, invalid, []string{"spec.image"}},
		{"the same port", create, `{"image":"app","ports":{"80":1,"80/tcp":2}}`, invalid, []string{"ports.80/tcp"}},
		{"a path above, as a volume", create, `{"image":"app","volumes":{"../x":"/x"}}`, invalid, []string{"volumes.../x"}},
		{"a path above, inside", create, `{"image":"app","volumes":{"/srv/../etc":"/x"}}`, invalid, []string{"volumes./srv/../etc"}},
		{"a path above, as a target", create, `{"image":"app","volumes":{"data":"/x/../proc"}}`, invalid, []string{"volumes.data"}},
		{"NUL in a path", create, `{"image":"app","volumes":{"/srv\u0000/x":"/x"}}`, invalid, []string{"volumes./srv\x00/x"}},
		{"a dot in a path", create, `{"image":"app","working_dir":"/a/./b"}`, invalid, []string{"working_dir"}},
		{"a path as an id", api.GetContainer, `{"container_id":"../../etc/passwd"}`, "container_not_found", nil},
		{"NUL in an id", api.GetContainer, `{"container_id":"web\u0000"}`, "container_not_found", nil},
		{"a look-alike of an id", api.GetContainer, `{"container_id":"w\u0435b"}`, "container_not_found", nil},
		{"a very long id", api.GetContainer, `{"container_id":"` + strings.Repeat("a", 100_000) + `"}`, invalid, []string{"container_id"}},
		{"no name", api.ApplyContainer, `{"name":"","image":"app"}`, invalid, []string{"name"}},
		{"a blank name", create, `{"name":" ","image":"app"}`, invalid, []string{"name"}},
		{"a look-alike of a name", create, `{"name":"w\u0435b","image":"app"}`, invalid, []string{"name"}},
		{"wide digits", create, `{"image":"app","ports":{"\uff18\uff10":1}}`, invalid, []string{"ports.\uff18\uff10"}},
		{"a bidi control", create, `{"name":"web\u202e","image":"app"}`, invalid, []string{"name"}},
		{"a line break in a name", create, `{"name":"web\n","image":"app"}`, invalid, []string{"name"}},
		{"a line break in an image", create, `{"image":"app\n"}`, invalid, []string{"image"}},
		{"an option for an image", create, `{"image":"--privileged"}`, invalid, []string{"image"}},
		{"a shell for a signal", create, `{"image":"app","stop_signal":"TERM; reboot"}`, invalid, []string{"stop_signal"}},
		{"privileged", create, `{"image":"app","privileged":true}`, invalid, []string{"privileged"}},
		{"an empty key", create, `{"image":"app","environment":{"":"x"}}`, invalid, []string{"environment."}},
		{"a long label", create, `{"image":"app","labels":{"` + long + `":"x"}}`, invalid, []string{"labels." + long[:200] + ".."}},
		{"a zone in an address", create, `{"image":"app","ports":{"80":"[fe80::1%eth0]:1"}}`, invalid, []string{"ports.80"}},
		{"an array", create, `[]`, invalid, []string{"."}},
		{"null", create, `null`, invalid, []string{"."}},
		{"a string", create, `"{\"image\":\"app\"}"`, invalid, []string{"."}},
		{"two arguments", create, `{"image":"app"},{}`, invalid, nil},
		{"a deep patch", api.UpdateContainer, `{"container_id":"web","spec":` + nested(9) + `}`, invalid, []string{"spec.a.a.a.a.a.a.a.a"}},
		{"several at once", create, `{"image":"","stop_grace_seconds":601,"network":"a b"}`, invalid, []string{"image", "network", "stop_grace_seconds"}},
	} {
		before := s.store.Revision()
		ack := p.ask(tt.event, tt.body)
		fields := slices.Sorted(slices.Values(fieldsOf(ack)))
		if diff := cmp.Diff(tt.fields, fields); diff != "" || fmt.Sprint(ack["error_type"]) != tt.kind {
			t.Errorf("%s: %s (-want +got):\n%s\n%.500v", tt.name, ack["error_type"], diff, ack)
		}
		if after := s.store.Revision(); after != before {
			t.Errorf("%s: something was stored", tt.name)
		}
	}
}
