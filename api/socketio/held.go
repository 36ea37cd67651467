package socketio

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// heldWriter keeps an answer back until the library has returned, and then takes no more: the library can still be
// setting a connection up when it answers the handshake, and can still be writing when the request is over.
type heldWriter struct {
	scratch http.Header // the library's alone: it writes here without our lock

	mu     sync.Mutex
	sealed bool
	status int
	header http.Header
	body   bytes.Buffer
}

func newHeldWriter() *heldWriter { return &heldWriter{scratch: http.Header{}} }

func (h *heldWriter) Header() http.Header { return h.scratch }

func (h *heldWriter) WriteHeader(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed || h.status != 0 {
		return
	}
	h.status, h.header = status, maps.Clone(h.scratch)
}

func (h *heldWriter) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		return 0, http.ErrHandlerTimeout
	}
	return h.body.Write(b)
}

// release sends what was held, with the first before replaced by after, and seals the writer.
func (h *heldWriter) release(w http.ResponseWriter, before, after string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealed = true
	if h.status == 0 {
		return nil // the client went away before there was an answer
	}
	body := h.body.Bytes()
	if before != "" {
		body = bytes.Replace(body, []byte(before), []byte(after), 1)
	}
	maps.Copy(w.Header(), h.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(h.status)
	_, err := w.Write(body)
	return err
}
