package socketio

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/zishang520/socket.io/v2/socket"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/server/servertest"
	"github.com/flow-manager/flow-manager/store"
)

// serveMeasured is the whole server on a store of its own.
func serveMeasured() {
	dir, err := os.MkdirTemp("", "socketio-measured-")
	must(err)
	defer os.RemoveAll(dir)
	s, err := store.Open(dir, store.Options{})
	must(err)
	p := &servertest.Parts{}
	app := server.New(server.Backend{Store: s, Messenger: p, Stats: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()})
	go func() { _ = app.Run(context.Background()) }()
	tr, err := New(Config{Log: zerolog.Nop(), Events: api.Requests()}, app)
	must(err)
	serveOn(tr)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var n, perSecond, size int
		switch command := commands.Text(); {
		case command == "memory":
			fmt.Println(memory(), runtime.NumGoroutine(), tr.held())
		case command == "goroutines":
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // a Builder takes everything
			fmt.Printf("%q\n", stacks.String())
		case strings.HasPrefix(command, "counts "):
			counts := tr.Counts()
			for _, reason := range strings.Fields(command)[1:] {
				fmt.Print(counts[reason], " ")
			}
			fmt.Println()
		case command == "sessions":
			fmt.Println(tr.Sessions())
		case scans(command, "change %d %d", &n, &perSecond):
			go change(app, n, perSecond)
			fmt.Println("ok")
		case scans(command, "say %d", &size):
			say(app, size)
			fmt.Println("ok")
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func scans(command, format string, into ...any) bool {
	n, err := fmt.Sscanf(command, format, into...)
	return err == nil && n == len(into)
}

// memory is what the process has in use.
func memory() uint64 {
	runtime.GC()
	runtime.GC() // what the first one finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// held is how many things are kept for clients: sessions, links, slots, and the library's own.
func (t *Transport) held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions) + len(t.links) + len(t.perAddress) + len(t.perPrincipal) + t.connections + t.engine.Clients().Len() + t.io.Sockets().Sockets().Len()
}

// change tells everybody n times that a container's status has changed, as if that were committed.
func change(s *server.Server, n, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := range n {
		<-tick.C
		s.Broadcast(api.StatusChange{ContainerID: "d7l0v3q8r6a1b2c3d4e0", Name: "web", OldState: api.StateRunning, NewState: api.StateRestarting,
			Reason: "CrashLoop", Cause: api.CauseExit, Generation: 7, ObservedGeneration: 7, RestartCount: i}.Event())
	}
}

// say sends a message of the size to everybody.
func say(s *server.Server, size int) {
	body := api.Encode(map[string]any{"container_id": "x", "message": map[string]any{"text": strings.Repeat("x", size)}})
	s.Broadcast(api.Event{Name: api.MessageReceived, Data: body})
}

// serveBare is the library alone, the floor of what a client costs.
func serveBare() {
	io := socket.NewServer(nil, nil)
	must(io.On("connection", func(...any) {}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() { _ = http.Serve(l, io.ServeHandler(nil)) }()
	fmt.Println(l.Addr())
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		fmt.Println(memory(), runtime.NumGoroutine(), io.Sockets().Sockets().Len())
	}
}
