package socketio

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What would end the process, or is measured by its memory, is tried on a child process of the kind that the variable
// names. It serves until its standard input ends, and says on standard output where.
const childVariable = "SOCKETIO_TEST_CHILD"

// serveAsChild serves if this process is such a child.
func serveAsChild() bool {
	switch os.Getenv(childVariable) {
	case "fragile":
		serveFragile()
	case "measured":
		serveMeasured()
	case "bare":
		serveBare()
	default:
		return false
	}
	return true
}

func serveOn(tr *Transport) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = tr.Server(tr.Handler()).Serve(tr.Listener(l)) }()
	fmt.Println(l.Addr())
}

type child struct {
	t    *testing.T
	addr string
	pid  int
	in   io.Writer
	out  *bufio.Reader
	log  *strings.Builder
	dead chan struct{}
}

func startChild(t *testing.T, kind string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+kind)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, in: stdin, out: bufio.NewReader(stdout), log: &strings.Builder{}, dead: make(chan struct{})}
	cmd.Stderr = c.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.addr, c.pid = c.line(), cmd.Process.Pid
	go func() {
		defer close(c.dead)
		_ = cmd.Wait() // mustLive says what it means
	}()
	t.Cleanup(func() { _ = stdin.Close(); <-c.dead })
	return c
}

// line is the next line that the child says.
func (c *child) line() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the child is silent: %v", err)
	}
	return strings.TrimSpace(line)
}

// tell has the child carry out a command and returns what it answers.
func (c *child) tell(format string, args ...any) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

// mustLive proves that the child still serves others.
func (c *child) mustLive() {
	c.t.Helper()
	select {
	case <-c.dead:
		log := c.log.String()
		c.t.Fatalf("the server process is gone:\n%s", log[:min(len(log), 2000)])
	default:
	}
	join(c.t, c.addr).mustEcho()
}
