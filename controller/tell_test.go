package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/xid"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// The log tells at info what an operator wants to know who was not there, each once: ends, health, what is given up, taken back or
// made anew, and why. What is only done, as it was declared, it tells at debug.
func TestController_TellsTheLog(t *testing.T) {
	tests := map[string]struct {
		edit func(s *api.Spec)
		live func(w *world)
		want []string // operation, and what is of interest
	}{
		"as declared": {live: func(w *world) {}, want: nil},
		"crash": {live: func(w *world) { w.engine.exit("web", 3) },
			want: []string{`crash exit_code=3 crash_streak=1 next`}},
		"give up": {edit: func(s *api.Spec) { s.RestartPolicy = api.RestartPolicy{Name: api.RestartNever} },
			live: func(w *world) { w.engine.exit("web", 7) },
			want: []string{"crash exit_code=7 crash_streak=1", "give_up reason=Failed"}},
		"unhealthy": {edit: func(s *api.Spec) { s.RestartPolicy.OnUnhealthy = api.UnhealthyReport },
			live: func(w *world) { w.engine.sicken("web", "no") },
			want: []string{"health health=unhealthy"}},
		"removed": {live: (*world).vanish,
			want: []string{"recreate cause=drift why=the container was removed behind our back"}},
		"update": {live: func(w *world) { w.wish(func(wish *store.Wish) { wish.Spec.User = "1" }) },
			want: []string{"recreate cause=update why=something else is declared"}},
		"rollback": {live: func(w *world) {
			w.wish(func(wish *store.Wish) { wish.Spec.User = "1" })
			w.engine.exit("web", 9)
		}, want: []string{"recreate cause=update why=something else is declared", "crash exit_code=9 crash_streak=0", "rollback cause=update why=it exited with code 9"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			inLoggedWorld(t, zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.InfoLevel), func(w *world) {
				w.declare("web", func(s *api.Spec) {
					if tt.edit != nil {
						tt.edit(s)
					}
				})
				w.after(time.Minute)
				tt.live(w)
				w.after(4 * time.Minute)
			})
			var got []string
			for line := range strings.Lines(log.String()) {
				var l map[string]any
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				if l["name"] != "web" || l["level"] != "info" {
					continue
				}
				said := fmt.Sprint(l["operation"])
				for _, key := range []string{"exit_code", "crash_streak", "health", "reason", "cause", "why"} {
					if v, ok := l[key]; ok && (key != "why" || l["operation"] != "crash") && (key != "crash_streak" || l["operation"] != "give_up") {
						said += fmt.Sprintf(" %s=%v", key, v)
					}
				}
				if l["next_restart_at"] != nil {
					said += " next"
				}
				got = append(got, said)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, log.String())
			}
		})
	}
}

// Another manager's containers are told of once each, however often the engine is listed and whatever happens to them.
func TestController_TellsOfStrangersOnce(t *testing.T) {
	var log bytes.Buffer
	inLoggedWorld(t, zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.InfoLevel), func(w *world) {
		var theirs []*fakeContainer
		w.engine.behind(func() {
			for i := range 3 {
				c := w.engine.addLocked(fmt.Sprint("theirs-", i))
				c.ID, c.Token, c.Instance, c.State = xid.New().String(), xid.New().String(), "another", "running"
				theirs = append(theirs, c)
				w.engine.tellLocked(c, Changed)
			}
		})
		for range 3 {
			w.after(2 * time.Minute)
			w.engine.behind(func() {
				for _, c := range theirs {
					w.engine.tellLocked(c, Changed)
				}
			})
			w.engine.leave()
			w.after(time.Minute)
			w.engine.come()
		}
		w.after(2 * time.Minute)
	})
	if n := strings.Count(log.String(), "belongs to nothing declared here"); n != 3 {
		t.Errorf("3 strangers, %d lines:\n%s", n, log.String())
	}
}
