package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/api/socketio"
	"github.com/flow-manager/flow-manager/store"
)

// cutter is a TCP proxy that cuts connections at random, so many times and no more.
type cutter struct {
	l  net.Listener
	to string

	mu     sync.Mutex
	random *rand.Rand
	cuts   int // to come
	open   sync.WaitGroup
}

func newCutter(t *testing.T, to string, seed uint64, cuts int) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{l: l, to: to, random: rand.New(rand.NewPCG(seed, 0)), cuts: cuts}
	c.open.Go(c.serve)
	t.Cleanup(func() {
		l.Close()
		c.open.Wait()
	})
	return c
}

func (c *cutter) url() string { return "http://" + c.l.Addr().String() }

func (c *cutter) serve() {
	for {
		conn, err := c.l.Accept()
		if err != nil {
			return
		}
		c.open.Go(func() { c.carry(conn.(*net.TCPConn)) })
	}
}

// carry passes bytes both ways until one end has no more, or until the connection has carried or lived enough.
func (c *cutter) carry(client *net.TCPConn) {
	defer client.Close()
	dialed, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	server := dialed.(*net.TCPConn)
	defer server.Close()
	bytes, life, abrupt := c.fate()
	cut := func() {
		if !c.may() {
			return
		}
		if abrupt {
			_, _ = client.SetLinger(0), server.SetLinger(0)
		}
		_, _ = client.Close(), server.Close()
	}
	defer time.AfterFunc(life, cut).Stop()
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(server, client) // the other end learns of it
		_ = server.CloseWrite()
	})
	copying.Go(func() {
		if _, err := io.CopyN(client, server, bytes); err == nil {
			cut()
			_, _ = io.Copy(client, server)
		}
		_ = client.CloseWrite()
	})
	copying.Wait()
}

// fate decides after how many bytes or how long a connection is cut, and whether by a reset.
func (c *cutter) fate() (bytes int64, life time.Duration, abrupt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 1 + c.random.Int64N(4000), time.Duration(1+c.random.IntN(400)) * time.Millisecond, c.random.IntN(2) == 0
}

// may takes one of the cuts that are to come.
func (c *cutter) may() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cuts == 0 {
		return false
	}
	c.cuts--
	return true
}

// still stands for all that a declaration does not need.
type still struct{}

func (still) Path(string) string                               { return "" }
func (still) Facts(string) (bool, time.Time)                   { return false, time.Time{} }
func (still) Usage(context.Context, *api.Container) api.Usage  { return api.Usage{} }
func (still) Sample(context.Context, *api.Container) api.Usage { return api.Usage{} }
func (still) EngineKnown() error                               { return nil }
func (still) Admit(context.Context, string, *api.Spec, bool) error {
	return nil
}
func (still) AdmitPorts(*api.Spec, iter.Seq[*store.Record]) error { return nil }
func (still) Queue(context.Context, string, json.RawMessage, time.Duration, bool, func(json.RawMessage, error)) error {
	return errors.New("nobody is there")
}

// newFront serves clients without an engine, and soon notices those that are gone without a word.
func newFront(t *testing.T) (transport *socketio.Transport, declared *store.Store, addr string) {
	t.Helper()
	declared, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app := server.New(server.Backend{Store: declared, Messenger: still{}, Stats: still{}, Engine: still{}, Policy: still{}, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := app.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { // behind the end of what listens
		cancel()
		running.Wait()
		if err := declared.Close(); err != nil {
			t.Error(err)
		}
	})
	transport, addr = listen(t, socketio.Config{
		Events: api.Requests(), Limits: socketio.Limits{PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second},
	}, app)
	return transport, declared, addr
}

// listen serves an application to clients until the test is over.
func listen(t *testing.T, c socketio.Config, app session.App) (transport *socketio.Transport, addr string) {
	t.Helper()
	c.Log = zerolog.Nop()
	transport, err := socketio.New(c, app)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := transport.Server(transport.Handler())
	served := make(chan error, 1)
	go func() { served <- web.Serve(transport.Listener(l)) }()
	t.Cleanup(func() {
		late, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := errors.Join(transport.Shutdown(late), web.Shutdown(late)); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return transport, l.Addr().String()
}

// tally is what a client reports.
type tally struct {
	Answers             map[string][]string
	Failed, Disconnects int
}

// Clients whose connections are cut again and again get each request answered in the end, whose tries have failed in a way
// that they see, and none has taken effect twice.
func TestCut_EveryRequestIsAnsweredAndNoneTakesEffectTwice(t *testing.T) {
	t.Parallel()
	transport, declared, addr := newFront(t)
	const count = 24
	var clients sync.WaitGroup
	for i, kind := range [][]string{
		{"node", "js/cut.mjs", "websocket"}, {"node", "js/cut.mjs", "polling"}, {"node", "js/cut.mjs", "polling,websocket"},
		{"/usr/bin/python3", "py/cut.py", "websocket"}, {"/usr/bin/python3", "py/cut.py", "polling"}, {"/usr/bin/python3", "py/cut.py", "polling,websocket"},
	} {
		prefix := fmt.Sprint("client", i)
		proxy := newCutter(t, addr, uint64(i), 8)
		clients.Go(func() {
			out, err := exec.Command(kind[0], kind[1], proxy.url(), kind[2], prefix, fmt.Sprint(count)).Output()
			if err != nil {
				t.Errorf("%v: %v\n%s", kind, err, stderr(err))
				return
			}
			var told tally
			if err := json.Unmarshal(out, &told); err != nil {
				t.Errorf("%v: %v\n%s", kind, err, out)
			}
			t.Logf("%v: %d tries failed, %d disconnects", kind, told.Failed, told.Disconnects)
			compare(t, declared, prefix, count, told)
		})
	}
	clients.Wait()
	eventually(t, "no session is left", func() error {
		if n := transport.Sessions(); n > 0 {
			return fmt.Errorf("%d sessions", n)
		}
		return nil
	})
}

// compare what a client was told with what is declared.
func compare(t *testing.T, declared *store.Store, prefix string, count int, told tally) {
	records, _ := declared.List()
	ids := map[string]bool{}
	for _, r := range records {
		if r.Labels["run"] == prefix {
			ids[r.ID] = true
		}
	}
	if len(ids) != count || len(told.Answers) != count {
		t.Errorf("%s: %d are declared and %d requests answered, want %d", prefix, len(ids), len(told.Answers), count)
	}
	for key, answers := range told.Answers {
		for _, id := range answers {
			if id != answers[0] || !ids[id] {
				t.Errorf("%s was answered %q", key, answers)
			}
		}
		delete(ids, answers[0])
	}
	if len(ids) > 0 {
		t.Errorf("%s: nobody was told of %v", prefix, ids)
	}
	if told.Failed+told.Disconnects == 0 {
		t.Errorf("%s: nothing was cut", prefix)
	}
}

func stderr(err error) []byte {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.Stderr
	}
	return nil
}
