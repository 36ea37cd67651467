package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// heardFlows are flows whose only one is declared, and what is logged of them.
func heardFlows(t *testing.T) (f *flows, id string, log *bytes.Buffer) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := s.Declare(t.Context(), store.Declaration{Name: "web", Principal: "ann", Operation: api.ApplyContainer, Change: func(wish *store.Wish) error {
		wish.Spec = api.Spec{Image: "x"}
		wish.Spec.Default("web")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	log = &bytes.Buffer{}
	return newFlows(s, zerolog.New(log)), r.ID, log
}

// raised are the actor events that were stored, newest first.
func (f *flows) raised(t *testing.T, id string) []string {
	t.Helper()
	var all []string
	_, err := f.store.Past(id, func(c *store.Change) bool {
		for _, e := range c.Events {
			var a api.Activity
			if err := json.Unmarshal(e.Data, &a); err == nil && a.ActivityType == api.ActivityActor {
				all = append(all, a.Message)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What flows have raised is stored, also when the manager stops first; of what does not fit, one line tells.
func TestFlows_ActorEvents(t *testing.T) {
	f, id, log := heardFlows(t)
	for i := range maxActorEvents + 10 {
		f.ActorEvent(id, "robot", fmt.Sprint(i), nil)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.run(ctx); err != nil {
		t.Fatal(err)
	}
	if all := f.raised(t, id); len(all) != maxActorEvents || all[0] != fmt.Sprint("robot raised ", maxActorEvents-1) {
		t.Errorf("%d were stored, %s last", len(all), all[0])
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged: %s", n, log)
	}
}

// A name may be as long as a frame, and is not kept whole.
func TestFlows_LongActor(t *testing.T) {
	f, id, _ := heardFlows(t)
	f.ActorEvent(id, strings.Repeat("\u00e4", 1<<19), "moved", nil)
	f.keepRest(t.Context())
	if all := f.raised(t, id); len(all) != 1 || all[0] != strings.Repeat("\u00e4", maxActorName/2)+"... raised moved" {
		t.Errorf("stored: %.600q", all)
	}
}
