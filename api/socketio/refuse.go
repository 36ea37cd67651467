package socketio

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// refusal is an answer of ours in the place of the library's. code is that of Engine.IO, 0 for a bad request.
type refusal struct {
	status  int
	reason  string
	message string
	code    int
	flag    string // the flag of the manager that would have allowed it, for the log
}

// asked says what was refused, as far as it may be told: no query, which may hold what is secret.
type asked struct{ what, host, origin, remote string }

func askedBy(r *http.Request) asked {
	return asked{r.Method + " " + r.URL.Path, r.Host, r.Header.Get("Origin"), r.RemoteAddr}
}

// maxTold is how much of each of them the log tells.
const maxTold = 200

func (t *Transport) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	t.refused(no, askedBy(r))
	w.Header().Set("Content-Type", "application/json")
	if no.status == http.StatusServiceUnavailable || no.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", fmt.Sprint(retryLater.Seconds()))
	}
	if no.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", methods)
	}
	w.WriteHeader(no.status)
	_, _ = w.Write(api.Encode(map[string]any{"code": cmp.Or(no.code, codeBadRequest), "message": no.message})) // the client may be gone
}

// refused counts a refusal, and tells of it.
func (t *Transport) refused(no *refusal, a asked) {
	t.counts.add(no.reason)
	t.tell(no, a)
}

// tell logs the first refusal of its reason in a minute.
func (t *Transport) tell(no *refusal, a asked) {
	more, due := t.refusals.due(no.reason, time.Now())
	if !due {
		return
	}
	line := t.log.Warn().Str("operation", "refuse").Str("reason", no.reason).Str("remote", a.remote).Str("why", no.message)
	for name, value := range map[string]string{"asked": a.what, "host": a.host, "origin": a.origin, "flag": no.flag} {
		if value != "" {
			line.Str(name, value[:min(len(value), maxTold)])
		}
	}
	if more > 0 {
		line.Int("more", more) // of the same reason, since the line before
	}
	line.Msg("refused")
}

// perMinute lets one line a minute through for each of a few reasons.
type perMinute struct {
	mu sync.Mutex
	by map[string]*paced
}

type paced struct {
	until time.Time
	more  int
}

// due reports whether a line for the reason is due, and how many were not told since the last one.
func (p *perMinute) due(reason string, now time.Time) (more int, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[reason] == nil {
		p.by[reason] = &paced{}
	}
	line := p.by[reason]
	if now.Before(line.until) {
		line.more++
		return 0, false
	}
	more, *line = line.more, paced{until: now.Add(time.Minute)}
	return more, true
}
