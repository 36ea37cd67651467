package server

import (
	"fmt"
	"testing"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// quietServer is a server whose sessions have no connection.
type quietServer struct {
	*Server
	t *testing.T
}

// moreThanInMemory is so many changes that the store has the first of them in its file alone. The tests that say it fail with
// fewer than it keeps.
const moreThanInMemory = 2100

func watching(t *testing.T, o store.Options) *quietServer {
	t.Helper()
	o.NoSync = true
	s, err := store.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	server := New(backed(s, &servertest.Parts{}))
	end := servertest.Run(server, s)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return &quietServer{server, t}
}

// admit lets a session in that leaves before the server ends. What has happened by then it is not told.
func (w *quietServer) admit(role api.Role, room int) *client {
	w.t.Helper()
	w.caughtUp(w.t)
	c := w.Server.admit(w.t, role, room)
	w.t.Cleanup(c.Close)
	return c
}

// declare declares a container whose spec or labels differ from those before.
func (w *quietServer) declare(name, image string, labels map[string]string) string {
	w.t.Helper()
	r, err := w.Store.Declare(w.t.Context(), store.Declaration{Name: name, Principal: "ann", Operation: api.ApplyContainer, Change: func(wish *store.Wish) error {
		wish.Spec, wish.Labels = api.Spec{Image: image, DesiredState: api.DesiredRunning, Environment: map[string]string{"GREETING": planted}}, labels
		wish.Spec.Default(name)
		return nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

func (w *quietServer) bury(id string) {
	w.t.Helper()
	if err := w.Store.Bury(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

// until reads events up to one that fits, and gives all of them.
func (c *client) until(t *testing.T, fits func(heard) bool) []heard {
	t.Helper()
	var all []heard
	for {
		all = append(all, c.next(t))
		if last := all[len(all)-1]; last.name == api.ErrorEvent && !fits(last) {
			t.Fatalf("%v", last.body)
		}
		if fits(all[len(all)-1]) {
			return all
		}
	}
}

// subscribe sends a subscription and gives what was told until it was answered.
func (w *quietServer) subscribe(c *client, body string) []string {
	w.t.Helper()
	c.tell(api.Subscribe, body)
	var told []string
	for _, h := range c.until(w.t, func(h heard) bool { return h.name == api.Subscribed }) {
		if h.name != api.Subscribed {
			told = append(told, brieflyTold(h))
		}
	}
	return told
}

func brieflyTold(h heard) string {
	if c, ok := h.body["container"].(map[string]any); ok {
		return fmt.Sprint(h.body["type"], " ", c["name"])
	}
	return h.name
}

func bodies(all []heard) []map[string]any {
	list := make([]map[string]any, len(all))
	for i := range all {
		list[i] = all[i].body
	}
	return list
}
