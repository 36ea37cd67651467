package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// A resource version leads to where it was given; one that was never given leads nowhere, rather than past what a client has not
// been told.
func TestStore_Position(t *testing.T) {
	s := open(t, t.TempDir(), Options{NoSync: true})
	web := declare(t, s, Declaration{Name: "web", Change: running}) // told as two: container_changed and activity_log
	_, err := s.Observe(t.Context(), web.ID, func(r *Record) []api.Event {
		r.Status.RestartCount++
		return []api.Event{api.Crash{ContainerID: web.ID}.Event(), api.Activity{ContainerID: web.ID}.Event()}
	})
	if err != nil {
		t.Fatal(err)
	}
	told := map[uint64]int{}
	changes, err := s.Watch(0).Next(t.Context())
	for _, c := range changes {
		told[c.Revision] = 1 + len(c.Events)
	}
	if err != nil || len(told) != 2 {
		t.Fatalf("%v, %v", changes, err)
	}
	for revision, all := range told {
		for n := 1; n <= all; n++ {
			want := Position{After: revision}
			if n < all {
				want = Position{revision - 1, n}
			}
			if p, err := s.Position(s.VersionOf(revision, n, all)); err != nil || p != want {
				t.Errorf("%s: %v, %v", s.VersionOf(revision, n, all), p, err)
			}
		}
	}
	for _, never := range []string{"", "x", "+1", "01", "-1", "1.", "1.0", "1.+1", "1.01", "1.1.1", "1.-1", "0.1", " 1", "1.99",
		fmt.Sprintf("1.%d", told[1]), fmt.Sprintf("2.%d", told[2]), "99999999999999999999", "1.99999999999999999999"} {
		if p, err := s.Position(s.epoch + "-" + never); errorType(err) != api.ValidationError {
			t.Errorf("%q: %v, %v", never, p, err)
		}
	}
	for _, future := range []string{"3", "3.1", "3.9", "4.1", "18446744073709551615"} {
		if p, err := s.Position(s.epoch + "-" + future); !errors.Is(err, ErrExpired) {
			t.Errorf("%q: %v, %v", future, p, err)
		}
	}
}

func TestStore_PositionSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	s := open(t, t.TempDir(), Options{NoSync: true, Now: func() time.Time { return now }, Retention: time.Hour})
	since := func(at time.Time) uint64 {
		t.Helper()
		p, err := s.PositionSince(at)
		if err != nil || p.Within != 0 {
			t.Errorf("%v, %v", p, err)
		}
		return p.After
	}
	if got := since(now); got != 0 {
		t.Errorf("in an empty store behind %d", got)
	}
	for i := range 100 { // one a minute; what is older than an hour goes
		declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running})
		now = now.Add(time.Minute)
	}
	oldest := past(t, s, "")
	for minutes, want := range map[int]uint64{0: 100, 1: 99, 10: 90, 11: 89, 1000: oldest[len(oldest)-1] - 1} {
		if got := since(now.Add(-time.Duration(minutes) * time.Minute)); got != want {
			t.Errorf("since %d minutes ago: behind %d, want %d", minutes, got, want)
		}
	}
}
