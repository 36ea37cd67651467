package controller

import (
	"testing"
	"time"
)

// Containers that end again and again do not keep those waiting for ever that were being started when the engine was lost.
func TestStarts_RestartsDoNotKeepSuspectsWaiting(t *testing.T) {
	s := newStarts(func(string) bool { return false })
	s.begin("suspect")
	s.lost()
	pass := func(d time.Duration) {
		s.since = s.since.Add(-d)
		for id, at := range s.of {
			s.of[id] = at.Add(-d)
		}
	}
	for range 10 { // every 12 s
		s.begin("looping")
		pass(startWindow + 2*time.Second)
	}
	if due := s.due("suspect"); due > 0 {
		t.Errorf("the suspect waits for another %s", due)
	}
	for range 10 {
		s.begin("looping")
		pass(startWindow + 2*time.Second)
	}
	s.due("looping")
	if s.careful {
		t.Error("starts go one by one for ever")
	}
}
