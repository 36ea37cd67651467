package socketio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	path         = "/socket.io/"
	maxPollBytes = 60_000 // the library silently loses a payload above 64 KiB
)

// The codes of Engine.IO (engine.io/lib/server.ts, Server.errors).
const (
	codeBadRequest         = 3
	codeUnsupportedVersion = 5
)

// engineRequest is what one request wants, once it is known to be one of the five that exist: a handshake by polling or
// WebSocket, a poll, a post, an upgrade.
type engineRequest struct {
	sid       string
	websocket bool
}

// Handler serves Socket.IO at exactly /socket.io/, behind the checks that keep the library safe.
func (t *Transport) Handler() http.Handler { return t.CheckHost(http.HandlerFunc(t.serve)) }

// CheckHost answers requests for a Host that is not allowed with 421. What next sees as a request's address is that of the client, whom a
// trusted proxy speaks for.
func (t *Transport) CheckHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = t.proxies.client(r)
		if !t.hosts.allowsHost(r.Host) {
			t.refuse(w, r, &refusal{status: http.StatusMisdirectedRequest, reason: refusedHost, flag: "--allowed-host " + r.Host,
				message: "this Host is not allowed here; see --allowed-host"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// NotFound answers for every path that is none.
func (t *Transport) NotFound(w http.ResponseWriter, r *http.Request) {
	t.refuse(w, r, &refusal{status: http.StatusNotFound, reason: refusedPath, flag: "--base-path",
		message: "there is nothing at this path; Socket.IO is at " + t.basePath + path})
}

func (t *Transport) serve(w http.ResponseWriter, r *http.Request) {
	if no := t.admitPage(w, r); no != nil {
		t.refuse(w, r, no)
		return
	}
	if r.Method == http.MethodOptions && t.hosts.lists(r.Header.Get("Origin")) {
		allowRequest(w, r)
		return
	}
	a, no := inspect(r)
	if no != nil {
		t.refuse(w, r, no)
		return
	}
	r.Header.Del("Accept-Encoding") // compressed answers would betray what is secret in them
	if a.sid == "" {
		t.handshake(w, r, a)
		return
	}
	if no := t.resume(w, r, a); no != nil {
		t.refuse(w, r, no)
	}
}

// admitPage judges where a request goes and which page it comes from. From then on a page may read what it is answered, a refusal too.
func (t *Transport) admitPage(w http.ResponseWriter, r *http.Request) *refusal {
	if r.URL.Path != path {
		return &refusal{status: http.StatusNotFound, reason: refusedPath, message: "Socket.IO is at " + t.basePath + path}
	}
	if !t.hosts.allowsOrigin(r) {
		return &refusal{status: http.StatusForbidden, reason: refusedOrigin, flag: "--allowed-origin " + r.Header.Get("Origin"),
			message: "this Origin is not allowed here; see --allowed-origin"}
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Vary", "Origin")
		if t.hosts.lists(origin) { // withCredentials
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
	}
	return nil
}

const methods = "GET, POST"

// allowRequest answers what a browser asks before a page of a listed origin sends headers of its own (extraHeaders).
func allowRequest(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Methods", methods)
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		w.Header().Set("Access-Control-Allow-Headers", asked)
	}
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

func inspect(r *http.Request) (engineRequest, *refusal) {
	query, ok := protocolQuery(r.URL.RawQuery)
	switch {
	case query.Get("EIO") == "3":
		return engineRequest{}, &refusal{status: http.StatusBadRequest, reason: refusedRequest, code: codeUnsupportedVersion,
			message: "this client is too old: use socket.io-client 3 or later"}
	case !ok:
		return engineRequest{}, badRequest("the query has to have EIO=4 and transport once each, sid behind a handshake, and no j")
	}
	r.URL.RawQuery = query.Encode()
	r.RequestURI = r.URL.RequestURI()
	a := engineRequest{sid: query.Get("sid"), websocket: query.Get("transport") == "websocket"}
	if a.websocket != websocket.IsWebSocketUpgrade(r) {
		return engineRequest{}, badRequest("the transport and the request do not match")
	}
	return a, checkMethod(r, a)
}

func badRequest(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: refusedRequest, message: message}
}

// protocolQuery is what of a query the library needs, each once: it reads another of two than a proxy or a check might. The users' own
// parameters (io(url, {query})) are for nobody, as is b64, which socket.io-client 4.0 to 4.7 adds in Node. j asks for JSONP.
func protocolQuery(raw string) (url.Values, bool) {
	q := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || !slices.Contains([]string{"EIO", "transport", "sid", "j"}, name) {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil || q.Has(name) {
			return nil, false
		}
		q.Set(name, value)
	}
	transport := q.Get("transport")
	known := q.Get("EIO") == "4" && (transport == "polling" || transport == "websocket") && (!q.Has("sid") || q.Get("sid") != "")
	return q, known && !q.Has("j")
}

func checkMethod(r *http.Request, a engineRequest) *refusal {
	if r.Method == http.MethodGet {
		return nil
	}
	if r.Method != http.MethodPost || a.sid == "" || a.websocket {
		return &refusal{status: http.StatusMethodNotAllowed, reason: refusedRequest, message: "only GET, and POST by polling"}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || kind != "text/plain" || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return &refusal{status: http.StatusUnsupportedMediaType, reason: refusedRequest, message: "a post is text/plain"}
	}
	return nil
}

func (t *Transport) handshake(w http.ResponseWriter, r *http.Request, a engineRequest) {
	s, no := t.reserveSlot(r.RemoteAddr)
	if no != nil {
		t.refuse(w, r, no)
		return
	}
	defer t.releaseUnused(s)
	r = r.WithContext(context.WithValue(r.Context(), slotKey{}, s))
	if a.websocket {
		t.serveGated(w, r, func() *link { return s.link })
		return
	}
	// The library announces one limit for both transports; a client of polling batches up to what it reads here.
	t.serveBuffered(w, r, fmt.Sprintf(`"maxPayload":%d`, maxPacketBytes), fmt.Sprintf(`"maxPayload":%d`, maxPollBytes))
}

// resume serves a request that bears a secret id, from the address that the id was given to and from no other.
func (t *Transport) resume(w http.ResponseWriter, r *http.Request, a engineRequest) *refusal {
	l := t.link(a.sid)
	if l == nil || l.host != hostOf(r.RemoteAddr) {
		return unknownSid()
	}
	if conn, _ := r.Context().Value(connKey{}).(*boundedConn); l.seated.Load() {
		conn.seat()
	}
	switch {
	case a.websocket:
		return t.upgrade(w, r, l)
	case r.Method == http.MethodPost:
		return t.post(w, r, l)
	}
	return t.poll(w, r, l)
}

func unknownSid() *refusal {
	return &refusal{status: http.StatusBadRequest, reason: refusedSid, message: "Session ID unknown"}
}

func (t *Transport) upgrade(w http.ResponseWriter, r *http.Request, l *link) *refusal {
	if !l.upgraded.CompareAndSwap(false, true) {
		return &refusal{status: http.StatusBadRequest, reason: refusedOverlap, message: "a session upgrades once"}
	}
	t.serveGated(w, r, func() *link { return l })
	return nil
}

func (t *Transport) poll(w http.ResponseWriter, r *http.Request, l *link) *refusal {
	if !l.polling.CompareAndSwap(false, true) {
		return &refusal{status: http.StatusBadRequest, reason: refusedOverlap, message: "one poll at a time"}
	}
	defer l.polling.Store(false)
	if !l.takePoll() {
		return unknownSid()
	}
	defer l.pollTaken() // where the library has refused it
	return t.serveLink(w, r, l)
}

func (t *Transport) post(w http.ResponseWriter, r *http.Request, l *link) *refusal {
	if !l.posting.CompareAndSwap(false, true) {
		return &refusal{status: http.StatusBadRequest, reason: refusedOverlap, message: "one post at a time"}
	}
	defer l.posting.Store(false)
	body, no := readPost(w, r)
	if no != nil {
		return no
	}
	if endsSession(body) {
		l.acting.Lock()
		defer l.acting.Unlock()
	}
	// The library reads until the end of what it is given, whatever the announced length.
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return t.serveLink(w, r, l)
}

func readPost(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPollBytes))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, reason: refusedBody,
			message: "a request may be 60 KB over polling; larger ones, up to 512 KiB, need the WebSocket transport"}
	}
	if err != nil || !knownRecords(body) {
		return nil, &refusal{status: http.StatusBadRequest, reason: refusedBody, message: "the body is no Engine.IO payload"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // what the requests in it take is not the body's time
	return body, nil
}

// endsSession reports whether a record is a close.
func endsSession(body []byte) bool {
	return body[0] == '1' || bytes.Contains(body, []byte{0x1e, '1'})
}

// knownRecords looks at each record's type: the library drops everything behind one that it does not know, and says ok.
func knownRecords(body []byte) bool {
	for record := range bytes.SplitSeq(body, []byte{0x1e}) {
		if len(record) == 0 || !bytes.ContainsRune([]byte("1234b"), rune(record[0])) {
			return false
		}
	}
	return true
}

// serveGated serves a WebSocket. link is called when the library has returned; nil: it made none.
func (t *Transport) serveGated(w http.ResponseWriter, r *http.Request, link func() *link) {
	g := newGatedWriter(w, t)
	defer func() { g.open(link()) }()
	t.engine.ServeHTTP(g, r)
}

// lateAnswer is how long after the end of a connection the library may answer its requests.
const lateAnswer = 500 * time.Millisecond

// serveLink is serveBuffered for a request of a connection. The library never answers a poll that it takes up while the connection
// ends, unless something is sent to it (engine.io v2.5.0, transports/polling.go: shouldClose is set after it was looked for). Node's
// client, and its process, wait for that as long as it takes.
func (t *Transport) serveLink(w http.ResponseWriter, r *http.Request, l *link) *refusal {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.over, func() {
		time.AfterFunc(lateAnswer/2, l.endPolling)
		time.AfterFunc(lateAnswer, cancel)
	})()
	if answered := t.serveBuffered(w, r.WithContext(ctx), "", ""); !answered && r.Context().Err() == nil {
		return unknownSid()
	}
	return nil
}

// serveBuffered reports whether the library has answered; it does not where the client goes away before.
func (t *Transport) serveBuffered(w http.ResponseWriter, r *http.Request, before, after string) (answered bool) {
	h := newBufferedWriter()
	t.engine.ServeHTTP(h, r)
	answered, err := h.flushTo(w, before, after)
	if err != nil {
		t.log.Debug().Str("operation", "poll").Err(err).Msg("answering a poll")
	}
	return answered
}

// hostOf is a remote address without its port; over a Unix socket all are one.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
