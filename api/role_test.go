package api

import "testing"

func TestRole_Allows(t *testing.T) {
	for _, tt := range []struct {
		has, needed Role
		want        bool
	}{
		{Viewer, Viewer, true}, {Viewer, Operator, false}, {Viewer, Admin, false},
		{Operator, Viewer, true}, {Operator, Operator, true}, {Operator, Admin, false},
		{Admin, Viewer, true}, {Admin, Operator, true}, {Admin, Admin, true},
		{"", Viewer, false}, {"root", Viewer, false}, {"Admin", Viewer, false},
		{Admin, "", false}, {Admin, "root", false}, {"", "", false},
	} {
		if got := tt.has.Allows(tt.needed); got != tt.want {
			t.Errorf("%q for what takes %q: %v", tt.has, tt.needed, got)
		}
	}
}

func TestRequestRoles_EachIsOne(t *testing.T) {
	for event, role := range RequestRoles() {
		if !role.Valid() {
			t.Errorf("%s takes %q, which is no role", event, role)
		}
	}
}
