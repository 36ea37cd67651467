package api

import (
	"maps"
	"slices"
)

// Role is what a principal may do. Each role may do all that the ones before it may.
type Role string

// The roles. A viewer looks, an operator declares and talks to flows, an admin may do what can lose data.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles lists the roles, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// Allows tells whether r may do what takes the role needed. A role that does not exist may do nothing, and nobody may do
// what takes one.
func (r Role) Allows(needed Role) bool {
	has, takes := slices.Index(Roles(), r), slices.Index(Roles(), needed)
	return takes >= 0 && has >= takes
}

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return r.Allows(Viewer) }

// RequestRoles says for every event that clients send which role it takes. What is not in it does not exist for anybody.
func RequestRoles() map[string]Role {
	return map[string]Role{
		CreateContainer:    Operator,
		ApplyContainer:     Operator,
		StartContainer:     Operator,
		StopContainer:      Operator,
		RestartContainer:   Operator,
		PauseContainer:     Operator,
		UnpauseContainer:   Operator,
		UpdateContainer:    Operator,
		RollbackContainer:  Operator,
		DeleteContainer:    Operator,
		WaitContainer:      Operator,
		GetContainer:       Viewer,
		ExplainContainer:   Viewer,
		GetContainerStatus: Viewer,
		GetStatus:          Viewer,
		ListContainers:     Viewer,
		SendMessage:        Operator,
		Subscribe:          Viewer,
		Unsubscribe:        Viewer,
		GetActivity:        Viewer,
		GetLogs:            Operator,
		StopLogs:           Operator,
	}
}

// Requests lists the events that clients send.
func Requests() []string { return slices.Sorted(maps.Keys(RequestRoles())) }
