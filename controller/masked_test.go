package controller

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// Whatever the engine, a flow or somebody else says about a container, its secrets are not in what is kept of that.
func TestController_SecretsOfAContainerAreNotKept(t *testing.T) {
	inWorld(t, func(w *world) {
		const secret = "hunter2\nthe end" // the last lines of the fake engine end so
		revision := w.store.Revision()
		w.engine.before = func(call string) error {
			if call == "pause" {
				return errors.New("cannot freeze what was given hunter2%0Athe+end")
			}
			return nil
		}
		w.declare("web", func(s *api.Spec) { s.Environment = map[string]string{"MY_TOKEN": secret, "NAME_TOKEN": "carried-off"} })
		w.after(time.Second)
		w.engine.behind(func() {
			c, _ := w.engine.findLocked("web")
			c.Name = "carried-off"
		})
		w.after(time.Second)
		if got := w.status("web").LastAction; got.Detail != "it was renamed to "+api.Filtered {
			t.Errorf("last action: %+v", got)
		}
		w.engine.exit("web", 1)
		w.after(time.Second)
		w.desire("web", api.DesiredPaused)
		w.after(time.Second)
		if got := w.status("web"); got.LastError == nil || strings.Contains(got.LastError.Message, "the+end") {
			t.Errorf("last error: %+v", got.LastError)
		}
		changes, err := w.store.Watch(revision).Next(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		crashes := 0
		for _, c := range changes {
			for _, e := range c.Events {
				if text := string(e.Data); strings.Contains(text, "the end") || strings.Contains(text, "the+end") || strings.Contains(text, "carried") {
					t.Errorf("%s: %s", e.Name, text)
				}
				var crash api.Crash
				if e.Name != api.ContainerCrashed || json.Unmarshal(e.Data, &crash) != nil {
					continue
				}
				crashes++
				if diff := cmp.Diff([]string{"password=" + api.Filtered}, crash.Details.Logs); diff != "" {
					t.Error(diff)
				}
			}
		}
		if crashes != 1 {
			t.Errorf("%d crashes", crashes)
		}
	})
}
