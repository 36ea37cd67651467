package socketio

import "sync"

// inFlight counts the requests of a session that were received and are not answered yet.
type inFlight struct {
	space chan struct{} // capacity 1: a token says that one was answered

	mu   sync.Mutex
	n    int
	idle chan struct{} // made by whoever waits; closed when there are none
}

// begin counts one more, unless there are limit already.
func (f *inFlight) begin(limit int) pushResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= limit {
		return pushedFull
	}
	f.n++
	return pushedOK
}

func (f *inFlight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	signal(f.space)
	if f.n--; f.n == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// drained is closed when no request is in flight.
func (f *inFlight) drained() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	if f.n == 0 {
		close(f.idle)
		f.idle = nil
	}
	return idle
}
