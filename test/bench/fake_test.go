package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"
)

// flow is what the manager asks the engine to make of a small flow.
func flow(name string) (*container.Config, *container.HostConfig) {
	yes, pids := true, int64(1024)
	id := "dc2nhshksdu97vkcoe70"
	return &container.Config{
			Image: image, Hostname: name, Env: []string{"FLOW_SOCKET=/run/flow/" + id + ".sock", "FLOW_CONTAINER_ID=" + id, "FLOW_CONTAINER_NAME=" + name, "GREETING=hello"},
			Labels: map[string]string{"io.flow-manager.id": id, "io.flow-manager.name": name, "io.flow-manager.create": id,
				"io.flow-manager.template-hash": "7fbb39421805df8b727903736048c3a6", "io.flow-manager.instance": id},
		}, &container.HostConfig{
			Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: "/run/flow-manager/" + id, Target: "/run/flow", ReadOnly: true}},
			NetworkMode: "bridge", RestartPolicy: container.RestartPolicy{Name: "no"}, Init: &yes, SecurityOpt: []string{"no-new-privileges"}, CapDrop: []string{"NET_RAW"},
			LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}}, Resources: container.Resources{PidsLimit: &pids},
		}
}

// What the faked engine says costs the manager what a real one's answers would: an engine 20.10 says this much of such a flow.
func TestFakeEngine_BodiesAreAsLongAsReal(t *testing.T) {
	const listed, inspected = 1219, 5240
	config, host := flow("t4dhs2d1g-1590-flow")
	f := &faked{id: "2ec96573021c05c635b9f6a02e9952a71b75432c66e86d73b7732a86fd17b05e", name: config.Hostname, created: time.Now(), started: time.Now(),
		made: container.CreateRequest{Config: config, HostConfig: host}}
	f.summarize()
	for what, length := range map[string]struct{ got, want int }{"list": {len(f.summary), listed}, "inspect": {len(encode(f.inspected())), inspected}} {
		if length.got < length.want*9/10 || length.got > length.want*11/10 {
			t.Errorf("%s: %d bytes, the real engine says %d", what, length.got, length.want)
		}
	}
}

// The engine's own client finds in the faked one what it has made there.
func TestFakeEngine_IsUnderstood(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	engine, err := b.fakeEngine()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, undo := range b.undo {
			if err := undo(); err != nil {
				t.Error(err)
			}
		}
	}()
	c, err := client.NewClientWithOpts(client.WithHost(engine.host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	config, host := flow("one")
	made, err := c.ContainerCreate(t.Context(), config, host, nil, nil, "one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ContainerCreate(t.Context(), config, host, nil, nil, "one"); err == nil {
		t.Error("a name was taken twice")
	}
	if err := c.ContainerStart(t.Context(), made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	seen, err := c.ContainerInspect(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ContainerList(t.Context(), container.ListOptions{All: true})
	if err != nil || len(list) != 1 {
		t.Fatalf("listed %v, %v", list, err)
	}
	if !seen.State.Running || list[0].State != "running" || changes(engine.requests()) != 3 {
		t.Errorf("inspected %+v, listed %+v", seen.State, list[0])
	}
	if diff := cmp.Diff(config.Labels, list[0].Labels) + cmp.Diff(config.Env, seen.Config.Env) + cmp.Diff(host.Mounts, seen.HostConfig.Mounts); diff != "" {
		t.Error(diff)
	}
}

func TestFrames_AreReadAsTheyWereWritten(t *testing.T) {
	text := message()
	if len(text) != messageBytes || !json.Valid(text) {
		t.Errorf("a message of %d bytes: %s", len(text), text)
	}
	got, err := readFrame(bytes.NewReader(framed(text[:7], text[7:])))
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := readFrame(bytes.NewReader(framed(text)[:100])); err != io.ErrUnexpectedEOF {
		t.Errorf("half a frame: %v", err)
	}
}

func TestChanges_CountsWhatIsNoQuestion(t *testing.T) {
	asked := map[string]int{listPattern: 7, "/_ping": 2, http.MethodPost + " /{v}/containers/create": 3, http.MethodDelete + " /v1.41/containers/x": 1}
	if n := changes(asked); n != 4 {
		t.Errorf("got %d, want 4", n)
	}
}
