package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"

	"github.com/flow-manager/flow-manager/api"
)

// A server of sessions runs in a child process, as the manager does: what it costs is not its clients' share.
const (
	childCommand = "child"
	bareChild    = "bare"     // the library alone: echo, and frames written past everything that we put around it
	ourChild     = "sessions" // our sessions, and events told to all of them
)

// echoEvent is what the bare library answers with what it was sent.
const echoEvent = "echo"

// serving answers clients, fanOut tells all of them something.
type (
	serving func(net.Listener) error
	fanOut  func(i int)
)

// serveChild prints the address that it serves on, then does what each line of its input says until that ends.
func serveChild(kind string) error {
	serve, tell, err := map[string]func() (serving, fanOut, error){bareChild: bare, ourChild: sessions}[kind]()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = serve(l) }() // it ends with the process
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "tell %d", &n); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		for i := range n {
			tell(i)
		}
	}
	return nil
}

// bare is the library with nothing of ours around it.
func bare() (serving, fanOut, error) {
	var mu sync.Mutex
	var clients []*socket.Socket
	io := socket.NewServer(nil, nil)
	io.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) { // "connection" comes too late for events that come at once
		_ = s.On(echoEvent, func(args ...any) { args[len(args)-1].(func([]any, error))(args[:1], nil) }) // never fails
		mu.Lock()
		clients = append(clients, s)
		mu.Unlock()
		next(nil)
	})
	frame := append(append([]byte(`2["`+api.StatusChanged+`",`), news(0).Stamped(time.Now(), "d4u0c3k1q2w9-1")...), ']')
	serve := func(l net.Listener) error { return http.Serve(l, io.ServeHandler(nil)) }
	return serve, func(int) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range clients {
			s.Client().WriteToEngine([]types.BufferInterface{types.NewStringBuffer(frame)}, &socket.WriteOptions{})
		}
	}, nil
}

// news is a status that has changed, each of another container: of one container only the newest would be told.
func news(i int) api.Event {
	return api.StatusChange{ContainerID: fmt.Sprintf("d7l0v3q8r6a1%08d", i), Name: "web", OldState: api.StateRunning, NewState: api.StateRestarting,
		Reason: "CrashLoop", Cause: api.CauseExit, Generation: 7, ObservedGeneration: 7, RestartCount: 3}.Event()
}

// child is such a process, as seen from here.
type child struct {
	addr string
	in   *os.File
}

// spawn starts a child that ends with the row.
func (b *bench) spawn(kind string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childCommand, kind)
	cmd.Stdin, cmd.Stderr = read, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err = errors.Join(err, read.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", kind, err), write.Close())
	}
	b.later(func() error { return errors.Join(write.Close(), cmd.Wait()) })
	addr, err := bufio.NewReader(out).ReadString('\n')
	return &child{strings.TrimSpace(addr), write}, err
}

// tell has the child send so many events to every client.
func (c *child) tell(n int) error {
	_, err := fmt.Fprintf(c.in, "tell %d\n", n)
	return err
}
