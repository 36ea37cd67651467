package flow_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/sockets/flow"
)

const pythonFlow = `
import sys, time
sys.path.insert(0, sys.argv[1])
import flow as library
library.WRITE_TIMEOUT = 1
flow = library.Flow()

@flow.on()
def echo(message): return {"type": "echo", "of": message}

@flow.on("fails")
def fails(message): raise RuntimeError("it fails")

@flow.on("text")
def text(message): return "text"

@flow.on("number")
def number(message): return {"n": float("nan")}

@flow.on("own")
def own(message): return {"reply_to": "somebody else's"}

@flow.on("alive")
def alive(message): flow.heartbeat()

@flow.on("stop")
def stop(message):
    flow.stop()
    time.sleep(0.1)
    print("the handler has ended", flush=True)

@flow.on("leave")
def leave(message): sys.exit(7)

@flow.on("flood")
def flood(message):
    try:
        while True: flow.emit({"type": "flood", "text": "x" * (1 << 19)})
    except OSError:
        print("it was not read", flush=True)

@flow.on_lifecycle
def lifecycle(event, grace_seconds): raise RuntimeError("it fails")

flow.run()
`

const nodeFlow = `
const { Flow } = await import(process.argv[1] + "/flow.mjs");
Flow.writeTimeout = 1000;
const flow = new Flow();
flow.on("", (message) => ({ type: "echo", of: message }));
flow.on("fails", () => { throw new Error("it fails"); });
flow.on("text", () => "text");
flow.on("number", () => [1]);
flow.on("own", () => ({ reply_to: "somebody else's" }));
flow.on("alive", () => flow.heartbeat());
flow.on("stop", async () => {
  flow.stop();
  await new Promise((resolve) => setTimeout(resolve, 100));
  console.log("the handler has ended");
});
flow.on("leave", () => process.exit(7));
flow.on("flood", async () => {
  try {
    for (;;) await flow.emit({ type: "flood", text: "x".repeat(1 << 19) });
  } catch {
    console.log("it was not read");
  }
});
flow.onLifecycle(async () => { throw new Error("it fails"); });
await flow.run();
`

// client is a flow in another language, as a process.
type client struct {
	*exec.Cmd
	ended chan struct{}
}

func commands() map[string][]string {
	return map[string][]string{"python": {"/usr/bin/python3", "-c", pythonFlow}, "node": {"node", "--input-type=module", "--eval", nodeFlow}}
}

// clients starts one in each language, on a manager of its own.
func clients(t *testing.T, each func(t *testing.T, m *manager, c *client)) {
	for language, command := range commands() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			c := startClient(t, language, command, "FLOW_SOCKET="+m.path)
			each(t, m, c)
			if t.Failed() {
				t.Logf("it said:\n%s", c.said(t))
			}
		})
	}
}

func startClient(t *testing.T, language string, command []string, env string) *client {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("../../test/flows", language))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{exec.CommandContext(t.Context(), command[0], append(command[1:], folder)...), make(chan struct{})}
	c.Env = append(os.Environ(), env, "PYTHONDONTWRITEBYTECODE=1")
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(c.ended); _ = c.Wait(); out.Close() }()
	t.Cleanup(func() { <-c.ended })
	return c
}

// end waits for it, and gives its exit code and what it has said.
func (c *client) end(t *testing.T) (int, string) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
	return c.ProcessState.ExitCode(), c.said(t)
}

func (c *client) said(t *testing.T) string {
	text, err := os.ReadFile(c.Stdout.(*os.File).Name())
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// What goes wrong in a handler or the callback harms nothing else, and is answered where somebody may wait; what is no reply is not sent
// for one.
func TestClients_GoOnBehindErrors(t *testing.T) {
	t.Parallel()
	clients(t, func(t *testing.T, m *manager, _ *client) {
		conn := m.joined()
		m.says(conn, `{"type":"lifecycle","event":"stopping","grace_seconds":1}`, `{"type":"fails"}`, `{"type":"fails","id":"0"}`, `{"type":"text","id":"1"}`, `{"type":"number","id":"2"}`,
			`{"type":"alive"}`, `{"type":"own","id":"3"}`, `{"type":"go"}`)
		for n := range 3 {
			m.hears(conn, fmt.Sprintf(`{"type":"error","error_type":"handler_error","message":"the handler of this message failed; the flow's output says how","reply_to":"%d"}`, n))
		}
		m.hears(conn, `{"type":"heartbeat"}`)
		m.hears(conn, `{"reply_to":"3"}`)
		m.hears(conn, `{"reply_to":null,"type":"echo","of":{"type":"go"}}`)
	})
}

// A message of a type that nobody handles is answered, in Go, too; what is the manager's own is not.
func TestClients_AnswerAnUnknownType(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, m *manager) {
		conn := m.joined()
		m.says(conn, `{"type":"status","status":{},"id":"0"}`, `{"type":"error","id":"1"}`, `{"type":"what","id":"2"}`, `{"id":"3","type":"known"}`)
		m.hears(conn, `{"type":"error","error_type":"unknown_type","message":"the flow has no handler for messages of type \"what\"","reply_to":"2"}`)
		m.hears(conn, `{"type":"yes","reply_to":"3"}`)
	}
	t.Run("go", func(t *testing.T) {
		m := newManager(t)
		f := flow.New(m.path)
		f.Handle("known", func(ctx context.Context, m *flow.Message) { _ = m.Reply(ctx, map[string]string{"type": "yes"}) })
		run(t, f)
		serve(t, m)
	})
	for language, command := range map[string][]string{
		"python": {"/usr/bin/python3", "-c", "import sys\nsys.path.insert(0, sys.argv[1])\nimport flow\nf = flow.Flow()\nf.on('known')(lambda message: {'type': 'yes'})\nf.run()"},
		"node":   {"node", "--input-type=module", "--eval", `const { Flow } = await import(process.argv[1] + "/flow.mjs"); const f = new Flow(); f.on("known", () => ({ type: "yes" })); await f.run();`},
	} {
		t.Run(language, func(t *testing.T) {
			m := newManager(t)
			c := startClient(t, language, command, "FLOW_SOCKET="+m.path)
			serve(t, m)
			_ = c.Process.Kill()
		})
	}
}

// Python reads no number of more than 4,300 digits; who sends one harms nobody else.
func TestClients_PassOverWhatTheyCannotRead(t *testing.T) {
	t.Parallel()
	clients(t, func(t *testing.T, m *manager, _ *client) {
		conn := m.joined()
		m.says(conn, `{"type":"status","n":1`+strings.Repeat("0", 5000)+`}`, `{"type":"go","id":"1"}`)
		m.hears(conn, `{"reply_to":"1","type":"echo","of":{"type":"go","id":"1"}}`)
	})
}

// Whoever ends the flow waits for the handler that is at work; one may also end the process.
func TestClients_End(t *testing.T) {
	t.Parallel()
	clients(t, func(t *testing.T, m *manager, c *client) {
		m.says(m.joined(), `{"type":"stop"}`)
		if code, said := c.end(t); code != 0 || said != "the handler has ended\n" {
			t.Errorf("%d: %s", code, said)
		}
	})
	clients(t, func(t *testing.T, m *manager, c *client) {
		m.says(m.joined(), `{"type":"leave"}`)
		if code, said := c.end(t); code != 7 || said != "" {
			t.Errorf("%d: %s", code, said)
		}
	})
}

// A manager that does not read is given up, and another connection made.
func TestClients_GiveUpWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	clients(t, func(t *testing.T, m *manager, c *client) {
		m.says(m.joined(), `{"type":"flood"}`)
		conn := m.joined()
		m.says(conn, `{"type":"go","id":"1"}`)
		m.hears(conn, `{"reply_to":"1","type":"echo","of":{"type":"go","id":"1"}}`)
		if said := c.said(t); said != "it was not read\n" {
			t.Errorf("it said %q", said)
		}
	})
}

// Where there is no socket nothing is waited for.
func TestClients_ErrNoSocket(t *testing.T) {
	const want = "there is no socket to connect to: the manager names it in FLOW_SOCKET where it runs a flow"
	t.Setenv("FLOW_SOCKET", "")
	if err := flow.New("").Run(t.Context()); err == nil || err.Error() != want {
		t.Errorf("go: %v", err)
	}
	for language, command := range commands() {
		if code, said := startClient(t, language, command, "FLOW_SOCKET=").end(t); code == 0 || !strings.Contains(said, want) {
			t.Errorf("%s: %d: %s", language, code, said)
		}
	}
}

// A reply names what it answers, whatever the handler has in that place.
func TestMessage_Reply(t *testing.T) {
	m := newManager(t)
	f := flow.New(m.path)
	f.Handle("", func(ctx context.Context, m *flow.Message) {
		if err := m.Reply(ctx, m.Body); err != nil {
			t.Error(err)
		}
	})
	run(t, f)
	conn := m.joined()
	m.says(conn, `{"id":"1","reply_to":"2"}`)
	m.hears(conn, `{"id":"1","reply_to":"1"}`)
	if tail := rest(conn); len(tail) > 0 {
		t.Errorf("behind it came %q", tail)
	}
}

// rest is what has been said and was not heard.
func rest(conn net.Conn) []byte {
	_ = conn.SetReadDeadline(time.Now())
	tail, _ := io.ReadAll(conn)
	return tail
}
