package socketio

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// bufferedWriter keeps an answer back until the library has returned, and then takes no more: the library can still be
// setting a connection up when it answers the handshake, and can still be writing when the request is over.
type bufferedWriter struct {
	scratch http.Header // the library's alone: it writes here without our lock

	mu     sync.Mutex
	sealed bool
	status int
	header http.Header
	body   bytes.Buffer
}

func newBufferedWriter() *bufferedWriter { return &bufferedWriter{scratch: http.Header{}} }

func (b *bufferedWriter) Header() http.Header { return b.scratch }

func (b *bufferedWriter) WriteHeader(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed || b.status != 0 {
		return
	}
	b.status, b.header = status, maps.Clone(b.scratch)
}

func (h *bufferedWriter) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		return 0, http.ErrHandlerTimeout
	}
	return h.body.Write(b)
}

// flushTo sends what was buffered, with the first before replaced by after, and seals the writer; false where there is no answer.
func (b *bufferedWriter) flushTo(w http.ResponseWriter, before, after string) (answered bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	if b.status == 0 {
		return false, nil
	}
	body := b.body.Bytes()
	if before != "" {
		body = bytes.Replace(body, []byte(before), []byte(after), 1)
	}
	maps.Copy(w.Header(), b.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(b.status)
	_, err = w.Write(body)
	return true, err
}
