// Command echo is a flow for demonstrations and tests: it repeats what it is sent and does what it is told.
//
// Every message is answered {"type":"echo","reply_to":id,"message":message}; what the types dump, read and write find out
// stands in the answer's message. Of the others, exit, crash, hang, oom and flood do what their names say.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	socketDir    = "/run/flow"
	maxFrame     = 1 << 20
	retryPause   = 50 * time.Millisecond
	maxRemembers = 100
)

type object = map[string]any

// flow is the state that outlives a connection to the manager.
type flow struct {
	ignoreTerm atomic.Bool
	statuses   []any
	lifecycles []any
}

func main() {
	if code, err := strconv.Atoi(os.Getenv("EXIT_CODE")); err == nil {
		os.Exit(code) // a flow that does not stay up
	}
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health())
	}
	_ = os.Remove(sick) // a new run is well
	f := &flow{}
	go f.obeySignals()
	for {
		f.serve(os.Getenv("FLOW_SOCKET"))
		time.Sleep(retryPause) // the manager is away, or not listening yet
	}
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

func (f *flow) obeySignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	for range signals {
		if !f.ignoreTerm.Load() {
			os.Exit(0)
		}
	}
}

// serve answers messages until the connection ends.
func (f *flow) serve(path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer conn.Close()
	if send(conn, object{"type": "hello"}) != nil || send(conn, object{"type": "ready"}) != nil {
		return
	}
	for {
		message, err := receive(conn)
		if err != nil {
			fmt.Fprintln(os.Stderr, "the manager is gone:", err)
			return
		}
		if err := f.handle(conn, message); err != nil {
			return
		}
	}
}

func (f *flow) handle(conn net.Conn, message object) error {
	switch message["type"] {
	case "status":
		f.statuses = remember(f.statuses, message["status"])
		return nil
	case "lifecycle":
		f.lifecycles = remember(f.lifecycles, message["event"])
		return nil
	case "error", "pong", "hello":
		return nil
	case "ping":
		return send(conn, object{"type": "pong"})
	}
	answer := message
	if act, ok := f.acts()[fmt.Sprint(message["type"])]; ok {
		answer = act(conn, message)
	}
	return send(conn, object{"type": "echo", "reply_to": message["id"], "message": answer})
}

func remember(list []any, item any) []any {
	list = append(list, item)
	return list[max(0, len(list)-maxRemembers):]
}

// acts are the message types that do more than be repeated.
func (f *flow) acts() map[string]func(net.Conn, object) object {
	return map[string]func(net.Conn, object) object{
		"dump":        func(net.Conn, object) object { return f.dump() },
		"actor":       raise,
		"flood":       flood,
		"say":         func(conn net.Conn, m object) object { return object{"said": text(send(conn, m["frame"].(object)))} },
		"read":        read,
		"write":       write,
		"log":         logLine,
		"exit":        func(_ net.Conn, m object) object { os.Exit(number(m, "code")); return nil },
		"crash":       func(net.Conn, object) object { panic("told to crash") },
		"hang":        func(net.Conn, object) object { select {} },
		"oom":         func(_ net.Conn, m object) object { return eat(number(m, "bytes")) },
		"ignore_term": func(_ net.Conn, m object) object { f.ignoreTerm.Store(true); return m },
	}
}

func (f *flow) dump() object {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return object{
		"args": os.Args, "env": os.Environ(), "uid": os.Getuid(), "gid": os.Getgid(), "pid": os.Getpid(), "hostname": host, "cwd": dir,
		"mounts": strings.Split(strings.TrimSpace(string(mounts)), "\n"), "socket_dir_changes": changes(),
		"statuses": f.statuses, "lifecycles": f.lifecycles,
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

func raise(conn net.Conn, m object) object {
	return object{"raised": text(send(conn, object{"type": "actor_event", "actor": m["actor"], "event": m["event"], "data": m["data"]}))}
}

func flood(conn net.Conn, m object) object {
	body := strings.Repeat("x", number(m, "size"))
	for i := range number(m, "count") {
		if err := send(conn, object{"type": "flood", "n": i, "body": body}); err != nil {
			return object{"sent": i}
		}
	}
	return object{"sent": m["count"]}
}

func read(_ net.Conn, m object) object {
	content, err := os.ReadFile(fmt.Sprint(m["path"]))
	return object{"content": string(content), "result": text(err)}
}

func write(_ net.Conn, m object) object {
	return object{"result": text(os.WriteFile(fmt.Sprint(m["path"]), []byte(fmt.Sprint(m["content"])), 0o600))}
}

func logLine(_ net.Conn, m object) object {
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

func send(conn net.Conn, message object) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	_, err = conn.Write(append(frame, body...))
	return err
}

func receive(conn net.Conn) (object, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	numbers := json.NewDecoder(bytes.NewReader(body))
	numbers.UseNumber() // what is repeated keeps every digit
	var message object
	err := numbers.Decode(&message)
	return message, err
}
