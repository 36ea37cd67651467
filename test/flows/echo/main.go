// Command echo is a flow for demonstrations and tests: it repeats what it is sent and does what it is told.
//
// Every message is answered {"type":"echo","reply_to":id,"message":message}; what the types dump, read and write find out
// stands in the answer's message. Of the others, exit, crash, hang, oom and flood do what their names say.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/flow-manager/flow-manager/sockets/flow"
)

const (
	socketDir    = "/run/flow"
	maxRemembers = 100
)

type object = map[string]any

// echo is what the flow keeps in mind.
type echo struct {
	*flow.Flow
	ignoreTerm atomic.Bool

	mu       sync.Mutex
	statuses []any
}

func main() {
	if code, err := strconv.Atoi(os.Getenv("EXIT_CODE")); err == nil {
		os.Exit(code) // a flow that does not stay up
	}
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health())
	}
	_ = os.Remove(sick) // a new run is well
	e := &echo{Flow: flow.New("")}
	go e.obeySignals()
	e.OnLifecycle(e.told)
	e.Handle("status", e.status)
	e.Handle("error", func(_ context.Context, m *flow.Message) { fmt.Fprintf(os.Stderr, "the manager: %s\n", m.Body) })
	e.Handle("", e.answer)
	if os.Getenv("NOT_READY") == "" {
		e.Ready() // else it says so when it is told to
	}
	fmt.Fprintln(os.Stderr, e.Run(context.Background()))
	os.Exit(1)
}

// sick is a file that makes the flow's health check fail for as long as it is there.
const sick = "/sick"

func health() int {
	if _, err := os.Stat(sick); err == nil {
		fmt.Println("it is sick")
		return 1
	}
	return 0
}

func (e *echo) obeySignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	for range signals {
		if !e.ignoreTerm.Load() {
			os.Exit(0)
		}
	}
}

// told repeats what is about to happen, as fast as it can.
func (e *echo) told(event string, grace time.Duration) {
	if err := e.Emit(context.Background(), object{"type": "told", "event": event, "grace_seconds": grace.Seconds()}); err != nil {
		fmt.Fprintln(os.Stderr, "tell of", event, err)
	}
}

func (e *echo) status(_ context.Context, m *flow.Message) {
	var news object
	if m.Decode(&news) == nil {
		e.remember(news["status"])
	}
}

// answer does what a message says and repeats it.
func (e *echo) answer(ctx context.Context, m *flow.Message) {
	numbers := json.NewDecoder(bytes.NewReader(m.Body))
	numbers.UseNumber() // what is repeated keeps every digit
	var message object
	if err := numbers.Decode(&message); err != nil {
		fmt.Fprintln(os.Stderr, "read a message:", err)
		return
	}
	if act, ok := e.acts()[m.Type]; ok {
		message = act(ctx, message)
	}
	if err := m.Reply(ctx, object{"type": "echo", "message": message}); err != nil {
		fmt.Fprintln(os.Stderr, "answer:", err)
	}
}

func (e *echo) remember(status any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.statuses = append(e.statuses, status)
	e.statuses = e.statuses[max(0, len(e.statuses)-maxRemembers):]
}

// acts are the message types that do more than be repeated.
func (e *echo) acts() map[string]func(context.Context, object) object {
	return map[string]func(context.Context, object) object{
		"dump":        func(context.Context, object) object { return e.dump() },
		"actor":       e.raise,
		"flood":       e.flood,
		"say":         func(ctx context.Context, m object) object { return object{"said": text(e.Emit(ctx, m["frame"]))} },
		"read":        read,
		"write":       write,
		"log":         logLine,
		"exit":        func(_ context.Context, m object) object { os.Exit(number(m, "code")); return nil },
		"crash":       func(context.Context, object) object { panic("told to crash") },
		"hang":        func(context.Context, object) object { select {} },
		"oom":         func(_ context.Context, m object) object { return eat(number(m, "bytes")) },
		"ignore_term": func(_ context.Context, m object) object { e.ignoreTerm.Store(true); return m },
	}
}

func (e *echo) dump() object {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	e.mu.Lock()
	defer e.mu.Unlock()
	return object{
		"args": os.Args, "env": os.Environ(), "uid": os.Getuid(), "gid": os.Getgid(), "pid": os.Getpid(), "hostname": host, "cwd": dir,
		"mounts": strings.Split(strings.TrimSpace(string(mounts)), "\n"), "socket_dir_changes": changes(),
		"statuses": e.statuses,
	}
}

// changes tries to change the folder of the socket; each must be refused.
func changes() object {
	path := os.Getenv("FLOW_SOCKET")
	return object{
		"create": text(os.WriteFile(socketDir+"/x", []byte("x"), 0o600)),
		"chmod":  text(os.Chmod(path, 0o600)),
		"unlink": text(os.Remove(path)),
	}
}

func text(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

func (e *echo) raise(ctx context.Context, m object) object {
	return object{"raised": text(e.Event(ctx, fmt.Sprint(m["actor"]), fmt.Sprint(m["event"]), m["data"]))}
}

func (e *echo) flood(ctx context.Context, m object) object {
	body := strings.Repeat("x", number(m, "size"))
	for i := range number(m, "count") {
		if err := e.Emit(ctx, object{"type": "flood", "n": i, "body": body}); err != nil {
			return object{"sent": i}
		}
	}
	return object{"sent": m["count"]}
}

func read(_ context.Context, m object) object {
	content, err := os.ReadFile(fmt.Sprint(m["path"]))
	return object{"content": string(content), "result": text(err)}
}

func write(_ context.Context, m object) object {
	return object{"result": text(os.WriteFile(fmt.Sprint(m["path"]), []byte(fmt.Sprint(m["content"])), 0o600))}
}

func logLine(_ context.Context, m object) object {
	out := os.Stdout
	if m["stderr"] == true {
		out = os.Stderr
	}
	_, err := fmt.Fprintln(out, m["line"])
	return object{"result": text(err)}
}

// eat uses up memory, a page at a time, so that the kernel has to give it.
func eat(bytes int) object {
	hoard := make([]byte, bytes)
	for i := 0; i < len(hoard); i += os.Getpagesize() {
		hoard[i] = 1
	}
	return object{"eaten": len(hoard)}
}

func number(m object, key string) int {
	n, _ := m[key].(json.Number)
	i, _ := n.Int64()
	return int(i)
}
