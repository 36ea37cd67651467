package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func spec(edit func(*Spec)) Spec {
	s := Spec{Image: "example/app:1", DesiredState: DesiredRunning}
	if edit != nil {
		edit(&s)
	}
	s.Default("web")
	return s
}

func TestSpec_DefaultsAreValid(t *testing.T) {
	s := spec(nil)
	if bad := s.Validate(); len(bad) > 0 {
		t.Errorf("defaults are refused: %v", bad)
	}
	if *s.StopGrace != 10 || !*s.Init || s.Resources.PidsLimit != 1024 || s.Hostname != "web" || s.RestartPolicy.Name != RestartAlways {
		t.Errorf("unexpected defaults: %s", Encode(s))
	}
}

// many are n entries of the same value.
func many[V any](n int, key string, value V) map[string]V {
	m := make(map[string]V, n)
	for i := range n {
		m[fmt.Sprintf(key, i+1)] = value
	}
	return m
}

func TestSpec_Validate_AtItsBounds(t *testing.T) {
	s := spec(func(s *Spec) {
		s.Environment = many(MaxEnvironment-1, "V%d", "x\n\x1b\u202e")
		s.Environment[strings.Repeat("k", maxKeyBytes)] = strings.Repeat("x", maxWordBytes-maxKeyBytes-1)
		s.Ports = many(MaxPorts, "%d", HostPort{})
		s.Command = []string{"a=\"b\""}
		s.Volumes = map[string]string{"data": "/run", "more": "/devices:ro"}
	})
	if bad := s.Validate(); len(bad) > 0 {
		t.Errorf("what is allowed is refused: %v", bad)
	}
	labels := map[string]string{strings.Repeat("k", maxKeyBytes): strings.Repeat("x", maxStringBytes)}
	if bad := ValidateLabels(labels); len(bad) > 0 {
		t.Errorf("labels: %v", bad)
	}
	for name, labels := range map[string]map[string]string{
		"too many": many(MaxLabels+1, "l%d", ""), "long value": {"a": strings.Repeat("x", maxStringBytes+1)}, "NUL in key": {"\x00": ""}, "NUL": {"a": "\x00"},
		"no key": {"": "a"}, "long key": {strings.Repeat("k", maxKeyBytes+1): ""}, "ours": {"io.flow-manager.x": ""},
	} {
		if len(ValidateLabels(labels)) != 1 {
			t.Errorf("labels, %s: %v", name, ValidateLabels(labels))
		}
	}
}

func TestSpec_Validate(t *testing.T) {
	longKey := strings.Repeat("k", maxKeyBytes+1)
	number := func(n int) *int { return &n }
	tests := []struct {
		name  string
		edit  func(*Spec)
		field string
	}{
		{"no image", func(s *Spec) { s.Image = "" }, "image"},
		{"bad image", func(s *Spec) { s.Image = "UPPER case" }, "image"},
		{"reserved socket variable", func(s *Spec) { s.Environment = map[string]string{"FLOW_SOCKET": "x"} }, "environment.FLOW_SOCKET"},
		{"reserved container variable", func(s *Spec) { s.Environment = map[string]string{"FLOW_CONTAINER_X": "x"} }, "environment.FLOW_CONTAINER_X"},
		{"variable with =", func(s *Spec) { s.Environment = map[string]string{"A=B": "x"} }, "environment.A=B"},
		{"NUL in a variable's key", func(s *Spec) { s.Environment = map[string]string{"A\x00": "x"} }, "environment.A\x00"},
		{"variable without a key", func(s *Spec) { s.Environment = map[string]string{"": "x"} }, "environment."},
		{"variable with a long key", func(s *Spec) { s.Environment = map[string]string{longKey: "x"} }, "environment." + clip(longKey)},
		{"variable longer than the kernel takes", func(s *Spec) { s.Environment = map[string]string{"A": strings.Repeat("x", maxWordBytes-1)} }, "environment.A"},
		{"too many variables", func(s *Spec) { s.Environment = many(MaxEnvironment+1, "V%d", "x") }, "environment"},
		{"argument longer than the kernel takes", func(s *Spec) { s.Command = []string{strings.Repeat("x", maxWordBytes+1)} }, "command[0]"},
		{"NUL in an argument", func(s *Spec) { s.Entrypoint = []string{"a", "\x00"} }, "entrypoint[1]"},
		{"too many ports", func(s *Spec) { s.Ports = many(MaxPorts+1, "%d", HostPort{}) }, "ports"},
		{"too many volumes", func(s *Spec) {
			s.Volumes = map[string]string{}
			for i := range MaxVolumes + 1 {
				s.Volumes[fmt.Sprintf("volume%d", i)] = fmt.Sprintf("/x%d", i)
			}
		}, "volumes"},
		{"NUL in value", func(s *Spec) { s.Environment = map[string]string{"A": "\x00"} }, "environment.A"},
		{"mount over root", func(s *Spec) { s.Volumes = map[string]string{"/srv": "/"} }, "volumes./srv"},
		{"mount over socket", func(s *Spec) { s.Volumes = map[string]string{"data": "/run/flow/x"} }, "volumes.data"},
		{"mount over socket by /var/run", func(s *Spec) { s.Volumes = map[string]string{"data": "/var/run/flow"} }, "volumes.data"},
		{"mount over the folder of the socket", func(s *Spec) { s.Volumes = map[string]string{"data": "/run/flow"} }, "volumes.data"},
		{"mount over sys", func(s *Spec) { s.Volumes = map[string]string{"data": "/sys"} }, "volumes.data"},
		{"mount below dev", func(s *Spec) { s.Volumes = map[string]string{"data": "/dev/shm"} }, "volumes.data"},
		{"code over proc", func(s *Spec) { s.Code = &Code{Path: "/srv", Target: "/proc"} }, "code.target"},
		{"mount over proc", func(s *Spec) { s.Volumes = map[string]string{"data": "/proc/sys:ro"} }, "volumes.data"},
		{"relative source", func(s *Spec) { s.Volumes = map[string]string{"./x": "/x"} }, "volumes../x"},
		{"source with ..", func(s *Spec) { s.Volumes = map[string]string{"/srv/../etc": "/x"} }, "volumes./srv/../etc"},
		{"same target twice", func(s *Spec) { s.Volumes = map[string]string{"aa": "/x", "bb": "/x:ro"} }, "volumes.bb"},
		{"same port twice", func(s *Spec) { s.Ports = map[string]HostPort{"80": {}, "80/tcp": {}} }, "ports.80/tcp"},
		{"port 0 inside", func(s *Spec) { s.Ports = map[string]HostPort{"0": {}} }, "ports.0"},
		{"unknown protocol", func(s *Spec) { s.Ports = map[string]HostPort{"80/icmp": {}} }, "ports.80/icmp"},
		{"ports without network", func(s *Spec) { s.Network = NetworkNone; s.Ports = map[string]HostPort{"80": {}} }, "ports"},
		{"relative workdir", func(s *Spec) { s.WorkingDir = "x" }, "working_dir"},
		{"hostname", func(s *Spec) { s.Hostname = "a b" }, "hostname"},
		{"signal", func(s *Spec) { s.StopSignal = "SIGNOPE" }, "stop_signal"},
		{"signal number", func(s *Spec) { s.StopSignal = "65" }, "stop_signal"},
		{"grace too long", func(s *Spec) { s.StopGrace = number(601) }, "stop_grace_seconds"},
		{"grace negative", func(s *Spec) { s.StopGrace = number(-1) }, "stop_grace_seconds"},
		{"state", func(s *Spec) { s.DesiredState = "up" }, "desired_state"},
		{"policy", func(s *Spec) { s.RestartPolicy.Name = "sometimes" }, "restart_policy.name"},
		{"little memory", func(s *Spec) { s.Resources.MemoryBytes = 1 }, "resources.memory_bytes"},
		{"negative memory", func(s *Spec) { s.Resources.MemoryBytes = -1 }, "resources.memory_bytes"},
		{"no processes", func(s *Spec) { s.Resources.PidsLimit = -1 }, "resources.pids_limit"},
		{"healthcheck without command", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"CMD"}} }, "healthcheck.test"},
		{"healthcheck in a shell without command", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"CMD-SHELL"}} }, "healthcheck.test"},
		{"healthcheck with an empty word", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"CMD", "x", ""}} }, "healthcheck.test[2]"},
		{"healthcheck with an empty command", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"CMD-SHELL", ""}} }, "healthcheck.test[1]"},
		{"healthcheck with words behind NONE", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"NONE", "x"}} }, "healthcheck.test"},
		{"healthcheck in a shell with another word", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"CMD-SHELL", "x", "y"}} }, "healthcheck.test"},
		{"healthcheck of nothing", func(s *Spec) { s.Healthcheck = &Healthcheck{} }, "healthcheck.test"},
		{"healthcheck that is empty", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{""}} }, "healthcheck.test"},
		{"healthcheck without form", func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"true"}} }, "healthcheck.test"},
		{"container network", func(s *Spec) { s.Network = "container:x" }, "network"},
		{"ports with the host's network", func(s *Spec) { s.Network = NetworkHost; s.Ports = map[string]HostPort{"80": {}} }, "ports"},
		{"too large", func(s *Spec) {
			s.Environment = many(3, "V%d", strings.Repeat("x", MaxSpecBytes/3))
		}, "."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(tt.edit)
			bad := s.Validate()
			if len(bad) != 1 || bad[0].Field != tt.field {
				t.Errorf("got %v, want one error for %q", bad, tt.field)
			}
		})
	}
}

func TestIsSignal(t *testing.T) {
	for _, signal := range []string{"SIGTERM", "TERM", "sigterm", "1", "64", "RTMIN", "RTMIN+3", "SIGRTMIN+3", "rtmin+15", "RTMAX-14", "SIGRTMAX-1", "RTMAX", "POLL"} {
		if !IsSignal(signal) {
			t.Errorf("%q is refused", signal)
		}
	}
	for _, signal := range []string{"", "0", "65", "015", "+15", "-1", "SIG", "SIG15", "SIGSIGTERM", "RTMIN+0", "RTMIN+16", "RTMIN+03", "RTMIN-1", "RTMAX-15", "RTMAX+1", "RTMIN+", "NOPE", " TERM", "TERM; reboot"} {
		if IsSignal(signal) {
			t.Errorf("%q is taken", signal)
		}
	}
}

func TestCheckWithoutCommand(t *testing.T) {
	for _, test := range [][]string{{"CMD"}, {"CMD-SHELL"}, {"CMD", ""}, {"CMD-SHELL", ""}, {"CMD", "", "x"}} {
		if !CheckWithoutCommand(test) {
			t.Errorf("%q has a command", test)
		}
	}
	for _, test := range [][]string{nil, {""}, {"NONE"}, {"CMD", "x"}, {"CMD", "x", ""}, {"CMD-SHELL", "x"}, {"x"}} {
		if CheckWithoutCommand(test) {
			t.Errorf("%q has no command", test)
		}
	}
}

func TestValidateName(t *testing.T) {
	for _, name := range []string{"ab", "web.1_x-y", strings.Repeat("z", 63), "flow-of-mine"} {
		if bad := ValidateName(name); len(bad) > 0 {
			t.Errorf("%q is refused: %v", name, bad)
		}
	}
	for _, name := range []string{"", "a", "-a", "a/b", "ä", strings.Repeat("a", 64), "deadbeefdeadbeef", "d8fk2v6s3nvg00abcd0g"} {
		if len(ValidateName(name)) == 0 {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestValidateNewName(t *testing.T) {
	if len(ValidateNewName("flow-d8fk2v6s3nvg00abcd0g")) == 0 || len(ValidateNewName("flow-of-mine")) > 0 {
		t.Error("default names, and no others, are reserved")
	}
}

func TestHostPort_RoundTrip(t *testing.T) {
	for wire, want := range map[string]HostPort{`0`: {}, `8080`: {Port: 8080}, `"127.0.0.1:80"`: {"127.0.0.1", 80}, `"[::1]:80"`: {"::1", 80}} {
		var got HostPort
		if err := got.UnmarshalJSON([]byte(wire)); err != nil || got != want || string(Encode(got)) != wire {
			t.Errorf("%s: got %v (%s), %v", wire, got, Encode(got), err)
		}
	}
	for _, wire := range []string{`-1`, `65536`, `1.5`, `"80"`, `"host:80"`, `"127.0.0.1"`, `null`, `{}`, `"[fe80::1%eth0]:80"`} {
		if err := new(HostPort).UnmarshalJSON([]byte(wire)); err == nil {
			t.Errorf("%s was taken", wire)
		}
	}
}

func TestChanges_CostOfEachField(t *testing.T) {
	no, five := false, 5
	edits := map[string]struct {
		edit func(*Spec)
		cost Cost
	}{
		"image":              {func(s *Spec) { s.Image = "b" }, CostRecreate},
		"environment":        {func(s *Spec) { s.Environment = map[string]string{"A": "b"} }, CostRecreate},
		"volumes":            {func(s *Spec) { s.Volumes = map[string]string{"data": "/d"} }, CostRecreate},
		"ports":              {func(s *Spec) { s.Ports = map[string]HostPort{"1": {}} }, CostRecreate},
		"command":            {func(s *Spec) { s.Command = []string{"a"} }, CostRecreate},
		"entrypoint":         {func(s *Spec) { s.Entrypoint = []string{"a"} }, CostRecreate},
		"working_dir":        {func(s *Spec) { s.WorkingDir = "/a" }, CostRecreate},
		"user":               {func(s *Spec) { s.User = "1" }, CostRecreate},
		"hostname":           {func(s *Spec) { s.Hostname = "a" }, CostRecreate},
		"init":               {func(s *Spec) { s.Init = &no }, CostRecreate},
		"desired_state":      {func(s *Spec) { s.DesiredState = DesiredStopped }, CostNothing},
		"restart_policy":     {func(s *Spec) { s.RestartPolicy.Name = RestartNever }, CostNothing},
		"stop_signal":        {func(s *Spec) { s.StopSignal = "SIGINT" }, CostRecreate},
		"stop_grace_seconds": {func(s *Spec) { s.StopGrace = &five }, CostNothing},
		"code":               {func(s *Spec) { s.Code = &Code{Path: "/a"} }, CostRecreate},
		"resources":          {func(s *Spec) { s.Resources.MemoryBytes = MinMemoryBytes }, CostInPlace},
		"healthcheck":        {func(s *Spec) { s.Healthcheck = &Healthcheck{Test: []string{"NONE"}} }, CostRecreate},
		"readiness":          {func(s *Spec) { s.Readiness = ReadinessSocket }, CostNothing},
		"liveness":           {func(s *Spec) { s.Liveness = &Liveness{5} }, CostNothing},
		"image_pull_policy":  {func(s *Spec) { s.ImagePullPolicy = PullNever }, CostNothing},
		"network":            {func(s *Spec) { s.Network = NetworkNone }, CostRecreate},
		"update_policy":      {func(s *Spec) { s.UpdatePolicy.OnFailure = OnFailurePause }, CostNothing},
	}
	base := spec(nil)
	var fields []string
	for i := range reflect.TypeFor[Spec]().NumField() {
		fields = append(fields, jsonName(reflect.TypeFor[Spec]().Field(i)))
	}
	for _, field := range fields {
		tt, ok := edits[field]
		if !ok {
			t.Errorf("no row for %q", field)
			continue
		}
		next := spec(tt.edit)
		if diff := cmp.Diff([]Change{{field, tt.cost}}, Changes(&base, &next)); diff != "" {
			t.Error(diff)
		}
		if same := TemplateHash(&base) == TemplateHash(&next); same != (tt.cost != CostRecreate) {
			t.Errorf("%s: hash equal: %v, cost %v", field, same, tt.cost)
		}
	}
}

func TestChanges_WhatALimitAndCodeCost(t *testing.T) {
	limited := spec(func(s *Spec) { s.Resources.MemoryBytes = MinMemoryBytes; s.Code = &Code{Path: "/a"} })
	lifted := spec(func(s *Spec) { s.Code = &Code{Path: "/b"} })
	want := []Change{{"code", CostRestart}, {"resources", CostRecreate}}
	got := Changes(&limited, &lifted)
	slices.SortFunc(got, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTemplateHash_IsStable(t *testing.T) {
	s := spec(func(s *Spec) { s.Environment = map[string]string{"B": "2", "A": "1"} })
	const known = "961183c135510c8671e4788f17d14f6f"
	if got := TemplateHash(&s); got != known {
		t.Errorf("got %s, want %s: every container declared by an older version would be recreated", got, known)
	}
}
