package api

import "strings"

// DefaultPidsLimit is how many processes a container may have when its spec does not say.
const DefaultPidsLimit = 1024

// DefaultStopGrace is how many seconds a container gets to end itself when its spec does not say.
const DefaultStopGrace = 10

// Default fills what s leaves out, for a container called name. An absent desired_state is the caller's to judge.
func (s *Spec) Default(name string) {
	orString(&s.Hostname, strings.TrimRight(name, "_.-")) // a host name ends in a letter or digit
	orPointer(&s.Init, true)
	orString(&s.RestartPolicy.Name, RestartAlways)
	orString(&s.RestartPolicy.OnUnhealthy, UnhealthyRestart)
	orPointer(&s.StopGrace, DefaultStopGrace)
	orNumber(&s.Resources.PidsLimit, DefaultPidsLimit)
	orString(&s.Readiness, ReadinessNone)
	orString(&s.ImagePullPolicy, PullIfNotPresent)
	orString(&s.Network, NetworkBridge)
	orPointer(&s.UpdatePolicy.Monitor, 5)
	orString(&s.UpdatePolicy.OnFailure, OnFailureRollback)
	orNumber(&s.UpdatePolicy.MaxAttempts, 1)
	if s.Code != nil {
		code := *s.Code // another spec may share it
		orString(&code.Target, "/app")
		s.Code = &code
	}
}

func orString(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func orNumber[N int | int64](n *N, value N) {
	if *n == 0 {
		*n = value
	}
}

func orPointer[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
