package socketio

import "sync"

// flight counts the requests of a session that were received and are not answered yet.
type flight struct {
	mu     sync.Mutex
	n      int
	landed chan struct{} // made by whoever waits; closed when there are none
}

// begin counts one more, unless there are limit already.
func (f *flight) begin(limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= limit {
		return false
	}
	f.n++
	return true
}

func (f *flight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.landed != nil {
		close(f.landed)
		f.landed = nil
	}
}

// over is closed when no request is in flight.
func (f *flight) over() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
	landed := f.landed
	if f.n == 0 {
		close(f.landed)
		f.landed = nil
	}
	return landed
}
