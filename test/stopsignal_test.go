package test

import (
	"context"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
)

// A container is stopped by the signal that its declaration or else its image says. The echo flow ends with code 0 at SIGTERM, with 2 at
// SIGQUIT, and stays at a real-time signal until its grace is over.
func TestStopSignal(t *testing.T) {
	t.Parallel()
	quits := named(t, "quits") + ":latest"
	t.Cleanup(func() { // once nothing is made from it any more
		if _, err := engine.ImageRemove(context.Background(), quits, image.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
	c := newManager(t).dial()
	made, err := engine.ContainerCreate(t.Context(), &container.Config{Image: echoImage, Labels: map[string]string{}}, nil, nil, nil, named(t, "made"))
	check(t, err)
	_, err = engine.ContainerCommit(t.Context(), made.ID, container.CommitOptions{Reference: quits, Config: &container.Config{StopSignal: "SIGQUIT"}})
	check(t, err)
	check(t, engine.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{}))
	for name, tt := range map[string]struct {
		spec object
		code float64
	}{
		"neither":     {object{}, 0},
		"image":       {object{"image": quits}, 2},
		"declaration": {object{"image": quits, "stop_signal": "SIGTERM"}, 0},
		"real-time":   {object{"stop_signal": "RTMIN+3", "stop_grace_seconds": 1}, 137},
	} {
		tt.spec["name"], tt.spec["network"] = named(t, name), "none"
		id := c.run(t, tt.spec)
		c.must(t, "send_message", object{"container_id": id, "message": object{"type": "greeting"}, "expect_reply": true}) // it hears signals by now
		c.must(t, "stop_container", object{"container_id": id, "wait_seconds": 30})
		if st := c.status(t, id); st["state"] != "stopped" || st["exit_code"] != tt.code {
			t.Errorf("%s: %v with code %v, want %v", name, st["state"], st["exit_code"], tt.code)
		}
	}
}
