package api

import (
	"testing"
)

func TestMergePatch(t *testing.T) {
	base := Spec{Image: "app:1", Environment: map[string]string{"A": "1", "B": "2"}, DesiredState: DesiredRunning, RestartPolicy: RestartPolicy{Name: RestartNever, MaxAttempts: 2}}
	base.Default("web")
	tests := []struct {
		name, patch, field string
		want               func(s *Spec) bool
	}{
		{"nothing", `{}`, "", func(s *Spec) bool { return SameSpec(s, &base) }},
		{"one field", `{"image":"app:2"}`, "", func(s *Spec) bool { return s.Image == "app:2" && s.Environment["B"] == "2" }},
		{"a member of a map", `{"environment":{"B":"3","C":"4"}}`, "", func(s *Spec) bool {
			return s.Environment["A"] == "1" && s.Environment["B"] == "3" && s.Environment["C"] == "4"
		}},
		{"a member away", `{"environment":{"B":null}}`, "", func(s *Spec) bool { _, ok := s.Environment["B"]; return !ok && s.Environment["A"] == "1" }},
		{"back to the default", `{"restart_policy":null}`, "", func(s *Spec) bool { return s.RestartPolicy.Name == RestartAlways && s.RestartPolicy.MaxAttempts == 0 }},
		{"a list is replaced whole", `{"command":["a","b"]}`, "", func(s *Spec) bool { return len(s.Command) == 2 }},
		{"an object where there was none", `{"resources":{"memory_bytes":67108864}}`, "", func(s *Spec) bool {
			return s.Resources.MemoryBytes == 64<<20 && s.Resources.PidsLimit == DefaultPidsLimit
		}},
		{"an unknown field", `{"imagee":"x"}`, "spec.imagee", nil},
		{"a wrong type", `{"image":7}`, "spec.image", nil},
		{"no object", `[]`, "spec", nil},
		{"null", `null`, "spec", nil},
		{"twice", `{"image":"a","image":"b"}`, "spec.image", nil},
		{"twice, deep", `{"environment":{"A":"1","A":"2"}}`, "spec.environment.A", nil},
		{"a name that no port has", `{"ports":{"":null}}`, "spec.ports.", nil},
		{"a name that no variable has", `{"environment":{"A=":null}}`, "spec.environment.A=", nil},
		{"too deep", `{"code":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}`, "spec.code.a.a.a.a.a.a.a", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := string(Encode(&base))
			got, bad := MergePatch(&base, []byte(tt.patch), "web")
			if after := string(Encode(&base)); after != before {
				t.Fatalf("the argument was changed: %s", after)
			}
			field := ""
			if len(bad) > 0 {
				field = bad[0].Field
			}
			if field != tt.field || tt.want != nil && !tt.want(&got) {
				t.Errorf("got %s %v, want a complaint about %q", Encode(&got), bad, tt.field)
			}
		})
	}
}
