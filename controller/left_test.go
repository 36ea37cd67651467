package controller

import (
	"fmt"
	"testing"

	"github.com/rs/xid"
)

// A start removes what was left of deleted flows, and does nothing for the many of which nothing was. Folders of nobody known stay.
func TestController_Run_RemovesWhatWasLeft(t *testing.T) {
	inWorld(t, func(w *world) {
		live := w.declare("live", nil).ID
		var last string
		for n := range 50 {
			name := fmt.Sprint("flow-", n)
			last = w.declare(name, nil).ID
			w.delete(name)
		}
		w.stop()
		stranger := xid.New().String()
		w.endpoints.open[last], w.endpoints.open[stranger] = true, true
		w.endpoints.removed = 0
		w.boot(Config{})
		if !w.endpoints.Listening(live) || w.endpoints.Listening(last) || !w.endpoints.Listening(stranger) {
			t.Errorf("folders: %v of a live flow, %v of a deleted one, %v of nobody", w.endpoints.Listening(live), w.endpoints.Listening(last), w.endpoints.Listening(stranger))
		}
		if w.endpoints.removed != 1 {
			t.Errorf("%d folders were removed of 50 deleted flows, one of which had one", w.endpoints.removed)
		}
	})
}
