package server

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rs/xid"
	"golang.org/x/time/rate"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

// Logs reads what containers write to their output.
type Logs interface {
	// Output calls each for every line, or piece of one, in order, until the output ends: when all was read or, with Follow, when
	// the container stops. Where each blocks, so does the reading, and nothing piles up. Its errors are *api.Error, or each's own.
	Output(ctx context.Context, dockerID string, o api.LogOptions, each func(api.LogLine) error) error
	// Keep has Output give what a container wrote also when that is removed, until release.
	Keep(dockerID string) (release func())
}

const (
	maxTailsOfOne      = 8   // logs that one session can read at once
	maxTails           = 256 // and all of them
	tailBatchLines     = 100 // in one container_logs
	tailBatchBytes     = 32 << 10
	tailBytesPerSecond = 4 << 20 // of one log: a flow that floods it must not take the manager's CPU
	tailQueue          = 16      // lines read ahead

	// lastWords is how long a client may take to read how a log ended.
	lastWords = 2 * time.Second
)

// tail sends one session a container's output, at the pace of its client. It goes on over restarts and replacements of the
// container, as long as that is declared.
type tail struct {
	server  *Server
	session session.Session
	logID   string
	in      *api.LogsRequest
	id      string // the container's
	stop    context.CancelFunc
	rate    *rate.Limiter

	begun time.Time // when it was first read
	last  time.Time // of the newest line, whichever container wrote it: one that stands again is not read again from its start
}

func (s *Server) getLogs(c session.Session, r *session.Request) error {
	in := &api.LogsRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	record, err := s.Store.Resolve(in.ContainerID)
	if err != nil {
		return api.AsError(err).For("", in.RequestID, "")
	}
	ctx, stop := context.WithCancel(c.Context())
	t := &tail{server: s, session: c, logID: cmp.Or(in.LogID, xid.New().String()), in: in, id: record.ID, stop: stop, rate: rate.NewLimiter(tailBytesPerSecond, tailBytesPerSecond)}
	if err := s.tails.add(t); err != nil {
		stop()
		return err.For("", in.RequestID, record.ID)
	}
	r.AckWait(ctx, api.Encode(t.body(map[string]any{"ok": true})))
	s.tasks.Go(func() {
		defer s.tails.remove(t)
		defer stop()
		defer context.AfterFunc(s.life, stop)()
		defer c.Recovered(api.GetLogs, func() { emitError(c, api.InternalError().For(api.GetLogs, in.RequestID, record.ID)) })
		t.run(ctx)
	})
	return nil
}

func (s *Server) stopLogs(c session.Session, r *session.Request) error {
	in := &api.StopLogsRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	if !s.tails.stop(c, in.LogID) {
		return api.Invalid(api.FieldError{Field: "log_id", Message: "is of no log that is being read for this session; it may have ended"}).For("", in.RequestID, "")
	}
	ack := map[string]any{"ok": true, "log_id": in.LogID}
	if in.RequestID != "" {
		ack["request_id"] = in.RequestID
	}
	r.Ack(api.Encode(ack))
	return nil
}

// body adds what all that is said of this log has in common.
func (t *tail) body(more map[string]any) map[string]any {
	more["container_id"], more["log_id"] = t.id, t.logID
	if t.in.RequestID != "" {
		more["request_id"] = t.in.RequestID
	}
	return more
}

// run ends the log by what says so: eof, or an error. When the manager stops it says nothing, as the output goes on: its client
// loses the connection, too.
func (t *tail) run(ctx context.Context) {
	err := t.follow(ctx)
	if t.server.life.Err() != nil {
		return
	}
	ends, cancel := context.WithTimeout(t.session.Context(), lastWords)
	defer cancel()
	if err != nil && ctx.Err() == nil {
		e := api.AsError(err).Masked(t.redactor()).For(api.GetLogs, t.in.RequestID, t.id).With("log_id", t.logID)
		t.session.EmitPaced(ends, &session.Event{Name: api.ErrorEvent, Body: e.Body(time.Now())})
		return
	}
	t.send(ends, api.Stdout, []string{}, "eof")
}

// send sends lines with a mark: partial where the last of them goes on, eof where there are no more.
func (t *tail) send(ctx context.Context, stream string, lines []string, mark string) bool {
	body := t.body(map[string]any{"stream": stream, "lines": lines, "timestamp": time.Now().UTC()})
	if mark != "" {
		body[mark] = true
	}
	return t.session.EmitPaced(ctx, &session.Event{Name: api.ContainerLogs, Body: api.Encode(body)})
}

// follow reads the container that stands, and where the client follows, those that come after.
func (t *tail) follow(ctx context.Context) error {
	kept, release := "", func() {}
	defer func() { release() }()
	for {
		watch := t.server.Store.Watch(t.server.Store.Revision())
		r, ok := t.server.Store.Get(t.id)
		if !ok {
			return nil
		}
		if r.Status.DockerID != "" {
			if kept != r.Status.DockerID {
				if err := t.rest(ctx, kept); err != nil {
					return err
				}
				release()
				kept, release = r.Status.DockerID, t.server.Logs.Keep(r.Status.DockerID)
			}
			err := t.copy(ctx, r.Status.DockerID, t.in.Follow)
			if gone := api.AsError(err).Type == api.ContainerNotFound; err != nil && !(gone && t.in.Follow) {
				return err
			}
		}
		if !t.in.Follow {
			return nil
		}
		if err := t.another(ctx, watch, r); err != nil {
			return err
		}
	}
}

// rest reads what the last run of a container wrote that was replaced, where that run was over before anybody looked.
func (t *tail) rest(ctx context.Context, dockerID string) error {
	if dockerID == "" {
		return nil
	}
	err := t.copy(ctx, dockerID, false)
	if err != nil && api.AsError(err).Type == api.ContainerNotFound {
		return nil
	}
	return err
}

// another waits for another run of the container, or its end.
func (t *tail) another(ctx context.Context, watch *store.Watch, seen *store.Record) error {
	for {
		r, ok := t.server.Store.Get(t.id)
		if !ok || run(r) != run(seen) {
			return nil
		}
		_, err := watch.Next(ctx)
		if errors.Is(err, store.ErrExpired) {
			watch = t.server.Store.Watch(t.server.Store.Revision())
		} else if err != nil {
			return err
		}
	}
}

// run tells one run of a container from the next.
func run(r *store.Record) string {
	if r.Status.StartedAt == nil {
		return r.Status.DockerID
	}
	return r.Status.DockerID + r.Status.StartedAt.Format(time.RFC3339Nano)
}

// options ask for what has not been sent yet.
func (t *tail) options(follow bool) api.LogOptions {
	o := api.LogOptions{Tail: -1, Follow: follow, Since: t.last.Add(1)} // a nanosecond behind it
	switch {
	case t.begun.IsZero():
		t.begun = time.Now()
		o.Since, _ = api.Moment(t.in.Since) // it has been validated
		if t.in.Tail != nil {
			o.Tail = *t.in.Tail
		}
	case t.last.IsZero(): // nothing was written so far, or nothing that was asked for
		o.Since = t.begun
	}
	return o
}

// copy sends the output of one container. Lines are sent together as far as they are there already.
func (t *tail) copy(ctx context.Context, dockerID string, follow bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, ended := make(chan shownLine, tailQueue), make(chan error, 1)
	o, j := t.options(follow), newJoiner(t.redactor())
	go func() {
		defer close(lines)
		defer t.session.Recovered(api.GetLogs, func() { ended <- api.InternalError() })
		pass := func(shown []shownLine) error { return hand(ctx, lines, shown) }
		err := t.server.Logs.Output(ctx, dockerID, o, func(l api.LogLine) error { return pass(j.add(l)) })
		ended <- cmp.Or(pass(j.close()), err)
	}()
	for first := range lines {
		if err := t.batch(ctx, first, lines); err != nil {
			cancel()
			<-ended
			return err
		}
	}
	return <-ended
}

func hand(ctx context.Context, to chan<- shownLine, shown []shownLine) error {
	for _, l := range shown {
		select {
		case to <- l:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// batch sends a line and those behind it that are there already. What goes on is the last of its event.
func (t *tail) batch(ctx context.Context, l shownLine, more <-chan shownLine) error {
	for {
		stream, texts, size, part, there := l.stream, []string{}, 0, false, true
		for there && !part && l.stream == stream && len(texts) < tailBatchLines && size < tailBatchBytes {
			t.last = later(t.last, l.at)
			text := t.shown(l)
			texts, size, part = append(texts, text), size+len(text), l.part
			select {
			case l, there = <-more:
			default:
				there = false
			}
		}
		if err := t.rate.WaitN(ctx, min(size, tailBytesPerSecond)); err != nil {
			return err
		}
		mark := ""
		if part {
			mark = "partial"
		}
		if !t.send(ctx, stream, texts, mark) {
			return context.Cause(ctx)
		}
		if !there {
			return nil
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (t *tail) shown(l shownLine) string {
	if t.in.Timestamps {
		return l.at.UTC().Format("2006-01-02T15:04:05.000000000Z") + " " + l.text
	}
	return l.text
}

// redactor knows the secrets of the container. Output is masked line by line, so each line of a long secret is one.
func (t *tail) redactor() api.Redactor {
	r, ok := t.server.Store.Get(t.id)
	if !ok {
		return api.Redactor{}
	}
	all := t.server.Store.Environments(r)
	for _, environment := range all[:len(all):len(all)] {
		for key, value := range environment {
			if api.SecretKey(key) {
				for line := range strings.Lines(value) {
					all = append(all, map[string]string{key: strings.TrimRight(line, "\r\n")})
				}
			}
		}
	}
	return api.NewRedactor(all...)
}
