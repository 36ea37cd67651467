package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/docker"
)

// What may be declared can be made: the engine has nothing against a spec that is valid, however odd it is.
func TestEngine_TakesWhatIsValid(t *testing.T) {
	volumes := []string{named(t, "a"), named(t, "b"), named(t, "c")}
	t.Cleanup(func() {
		for _, volume := range volumes {
			_ = engine.VolumeRemove(context.Background(), volume, false) // not every one was made
		}
	})
	r := newRuntime(t, docker.Config{PublishAddress: "127.0.0.1"})
	folder, name := t.TempDir(), named(t, "odd")
	rapid.Check(t, func(t *rapid.T) {
		spec := oddSpec(t, volumes)
		if bad := spec.Validate(); len(bad) > 0 {
			t.Skipf("it may not be declared: %v", bad)
		}
		id, err := r.Create(t.Context(), controller.Template{ID: "id", Name: name, DockerName: name, Token: "t", Instance: "i", Spec: spec, Ports: spec.Ports, SocketDir: folder})
		if err != nil {
			t.Fatalf("%s: %v", api.Encode(spec), err)
		}
		if err := r.Remove(context.Background(), id); err != nil {
			t.Fatal(err)
		}
	})
}

// oddSpec is near the edges of what may be declared, and beyond.
func oddSpec(t *rapid.T, volumes []string) api.Spec {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", " ", "\n", "ü", "x=y", "-1", "a:b:c", ",", "\u2028", `"`, "${", "*"}), rapid.StringN(0, 20, 60))
	path := rapid.OneOf(rapid.SampledFrom([]string{"/a", "/run", "/var/run", "/a,b", "/a:b", "/a b", "/\n", "/...", "/proc2", `/"`, "/a=b", "/run/flow2"}),
		rapid.Map(rapid.StringN(1, 10, 30), func(s string) string { return "/odd" + s }))
	s := api.Spec{
		Image: echoImage, DesiredState: api.DesiredCreated, Entrypoint: []string{"/echo"},
		Environment: rapid.MapOfN(rapid.Map(text, func(s string) string { return "K" + strings.ReplaceAll(s, "=", "") }), text, 0, 4).Draw(t, "environment"),
		Command:     rapid.SliceOfN(text, 0, 3).Draw(t, "command"),
		User:        text.Draw(t, "user"),
		WorkingDir:  rapid.OneOf(rapid.Just(""), path).Draw(t, "working_dir"),
		Volumes:     map[string]string{},
		Ports:       map[string]api.HostPort{},
		Hostname:    rapid.StringMatching(`([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)?`).Draw(t, "hostname"),
		StopSignal:  rapid.SampledFrom([]string{"", "term", "SIGCLD", "IOT", "POLL", "STKFLT", "1", "33", "64", "RTMIN", "RTMIN+3", "SIGRTMIN+15", "rtmax-14", "RTMAX"}).Draw(t, "stop_signal"),
		Healthcheck: rapid.SampledFrom([]*api.Healthcheck{nil, {Test: []string{"NONE"}}, {Test: []string{"CMD", " "}, Interval: 1},
			{Test: []string{"CMD-SHELL", "x"}, Interval: 86400, Timeout: 86400, Retries: 1000, StartPeriod: 86400}}).Draw(t, "healthcheck"),
		Resources: api.Resources{MemoryBytes: rapid.SampledFrom([]int64{0, api.MinMemoryBytes, 1<<63 - 1}).Draw(t, "memory_bytes"),
			NanoCPUs:  rapid.SampledFrom([]int64{0, 10_000_000, 10_000_001}).Draw(t, "nano_cpus"),
			PidsLimit: rapid.SampledFrom([]int64{1, 4194304}).Draw(t, "pids_limit")},
		Network: rapid.SampledFrom([]string{api.NetworkBridge, api.NetworkNone}).Draw(t, "network"),
	}
	for _, volume := range volumes[:rapid.IntRange(0, len(volumes)).Draw(t, "volumes")] {
		s.Volumes[volume] = path.Draw(t, "target") + rapid.SampledFrom([]string{"", ":ro", ":rw"}).Draw(t, "mode")
	}
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		inside := fmt.Sprint(rapid.IntRange(1, 65535).Draw(t, "inside")) + rapid.SampledFrom([]string{"", "/tcp", "/udp", "/sctp"}).Draw(t, "protocol")
		address := rapid.SampledFrom([]string{"", "0.0.0.0", "::", "::1", "255.255.255.255", "::ffff:127.0.0.1", "fe80::1", "224.0.0.1"}).Draw(t, "address")
		s.Ports[inside] = api.HostPort{Address: address, Port: rapid.IntRange(0, 65535).Draw(t, "outside")}
	}
	s.Default("odd")
	beyond(&s, rapid.IntRange(0, 12).Draw(t, "beyond"))
	return s
}

// beyond makes one thing of a spec, or nothing, what the engine does not take.
func beyond(s *api.Spec, which int) {
	switch which {
	case 0:
		s.StopSignal = "SIG15"
	case 1:
		s.StopSignal = "RTMIN+16"
	case 2:
		s.Resources.MemoryBytes = api.MinMemoryBytes - 1
	case 3:
		s.Resources.NanoCPUs = 1
	case 4:
		s.WorkingDir = "x"
	case 5:
		s.Environment = map[string]string{"": "x"}
	}
}
