package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
)

func TestSession_IsCutOffWhenItsLoginEnds(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	begun, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	auth := func(_ context.Context, auth json.RawMessage, _ string) (session.Principal, context.Context, error) {
		if len(auth) == 0 {
			return session.Principal{Name: "other", Role: api.Viewer}, context.Background(), nil
		}
		return session.Principal{Name: "ann", Role: api.Viewer, Token: "id"}, life, nil
	}
	e := start(t, Config{Authenticate: auth}, app{handle: echo, begin: func(*Session) error { begun <- struct{}{}; return nil }, end: func(*Session) { ended <- struct{}{} }})
	bystander := join(t, e.addr)
	p, c := poll(t, e.addr), open(t, e.addr)
	c.send(`40{"token":"x"}`)
	c.read()
	c.mustEcho()
	p.post(`40{"token":"x"}`)
	for range 3 {
		<-begun
	}
	p.get() // the answer to CONNECT
	end(api.Errorf(api.AuthenticationError, "the token was revoked"))
	if frames := c.mustClose(); len(frames) != 1 || !strings.HasPrefix(frames[0], `42["error",{`) || !strings.Contains(frames[0], `"authentication_error"`) || !strings.Contains(frames[0], "was revoked") {
		t.Errorf("before the end came %q", frames)
	}
	if got := p.get(); !strings.Contains(got, "was revoked") {
		t.Errorf("by polling came %q", got)
	}
	for range 2 {
		<-ended
	}
	bystander.mustEcho()
	eventually(t, "both are counted", func() bool { return e.Counts()[endedUnauthorized] == 2 })
}

// A token may be gone by the time that its session has begun.
func TestSession_LoginThatEndedMeanwhile(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	end(errors.New("disk on fire"))
	auth := func(context.Context, json.RawMessage, string) (session.Principal, context.Context, error) {
		return session.Principal{Name: "ann", Role: api.Admin}, life, nil
	}
	e := start(t, Config{Authenticate: auth, Log: zerolog.Nop()}, app{handle: echo})
	c := open(t, e.addr)
	c.send("40")
	if got := c.read(); !strings.HasPrefix(got, "44{") || strings.Contains(got, "fire") || !strings.Contains(got, `"system_error"`) {
		t.Errorf("got %s", got)
	}
}

// A client that does not read cannot stay by that.
func TestSession_IsCutOffThoughItDoesNotRead(t *testing.T) {
	life, end := context.WithCancelCause(context.Background())
	auth := func(context.Context, json.RawMessage, string) (session.Principal, context.Context, error) {
		return session.Principal{Name: "ann", Role: api.Viewer}, life, nil
	}
	stuffed, ended := make(chan struct{}), make(chan struct{})
	e := start(t, Config{Authenticate: auth, Limits: Limits{DrainTimeout: patience, WriteTimeout: patience, OutBytes: 64 << 20}}, app{
		handle: func(s *Session, _ *session.Request) {
			page := json.RawMessage(`"` + strings.Repeat("x", 32<<10) + `"`)
			for range 1000 { // more than the kernel's buffers take, less than the queue
				s.Emit("page", page)
			}
			close(stuffed)
		},
		end: func(*Session) { close(ended) },
	})
	c := join(t, e.addr)
	c.send(`42["echo",{}]`)
	<-stuffed
	began := time.Now()
	end(api.Errorf(api.AuthenticationError, "the token was revoked"))
	<-ended
	eventually(t, "its connection is gone", func() bool { return e.Counts()[endedUnauthorized] == 1 })
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
}
