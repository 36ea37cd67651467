package socketio

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

const loadVariable = "SOCKETIO_TEST_LOAD"

// load is a small figure, or the large one that `make load` asks for.
func load(small, large int) int {
	if os.Getenv(loadVariable) == "" {
		return small
	}
	return large
}

// alongside lets a test run beside others, except where its figures are what is wanted. Such tests wait most of the time, and
// measure a child; those that count this process's goroutines, as all that call start do, run alone.
func alongside(t *testing.T) {
	if os.Getenv(loadVariable) == "" {
		t.Parallel()
	}
}

// measure is what the child has in use, and what it keeps.
type measure struct{ memory, goroutines, held int }

func (c *child) measure() measure {
	c.t.Helper()
	var m measure
	if _, err := fmt.Sscan(c.tell("memory"), &m.memory, &m.goroutines, &m.held); err != nil {
		c.t.Fatal(err)
	}
	return m
}

// rss is the child's memory as the kernel counts it.
func (c *child) rss() int {
	c.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		c.t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(line, &kib); err != nil {
		c.t.Fatal(err)
	}
	return kib << 10
}

// crowd are clients that read what they are sent and say nothing.
type crowd struct {
	clients []*client
	reading sync.WaitGroup
}

func gather(t *testing.T, c *child, n int) *crowd {
	t.Helper()
	k := &crowd{}
	for range n {
		one := joinAnything(t, c.addr)
		k.clients = append(k.clients, one)
		k.reading.Go(func() {
			for {
				if _, err := one.next(); err != nil {
					return
				}
			}
		})
	}
	return k
}

// joinAnything joins the bare library too, which loses a CONNECT that is quick.
func joinAnything(t *testing.T, addr string) *client {
	t.Helper()
	for {
		c := open(t, addr)
		c.send("40")
		_ = c.ws.SetReadDeadline(time.Now().Add(250 * time.Millisecond)) // many of a hundred are lost
		if _, _, err := c.ws.ReadMessage(); err == nil {
			return c
		}
		_ = c.ws.Close()
	}
}

func (k *crowd) leave() {
	for _, c := range k.clients {
		_ = c.ws.Close()
	}
	k.reading.Wait()
}

// watcher reads n events of a name and tells how late each was.
func watcher(t *testing.T, c *client, name string, n int) []time.Duration {
	var late []time.Duration
	for len(late) < n {
		frame, err := c.next()
		if err != nil {
			t.Errorf("after %d events: %v", len(late), err)
			return late
		}
		if !strings.HasPrefix(frame, `42["`+name+`",`) {
			continue
		}
		_, stamp, _ := strings.Cut(frame[max(0, len(frame)-60):], `"timestamp":"`) // it stands at the end
		stamp, _, _ = strings.Cut(stamp, `"`)
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Error(err)
		}
		late = append(late, time.Since(at))
	}
	return late
}

// watched lets every client watch at once.
func watched(t *testing.T, clients []*client, name string, n int) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var watching sync.WaitGroup
	for _, c := range clients {
		watching.Go(func() {
			late := watcher(t, c, name, n)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, late...)
		})
	}
	watching.Wait()
	return all
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*p))]
}

// Many idle clients cost little beside what the library takes, hold up nobody who is active, and are forgotten when they go.
func TestLoad_IdleSessions(t *testing.T) {
	alongside(t)
	idle, active, seconds := load(100, 1000), load(5, 20), load(2, 60)
	perSession := func(kind string) (int, *child) {
		c := startChild(t, kind)
		fresh := c.measure()
		k := gather(t, c, idle) // so that what grows once has grown: the runtime keeps what most goroutines at once took
		if kind != "bare" {
			busy(t, c, active, load(1, 20))
		}
		k.leave()
		eventually(t, "nobody is left", func() bool { return c.measure().held == 0 })
		before := c.measure()
		t.Logf("%s: %d bytes when it was fresh, %d after a first crowd", kind, fresh.memory, before.memory)
		k = gather(t, c, idle)
		during := c.measure()
		if kind == "bare" {
			k.leave()
			return (during.memory - before.memory) / idle, c
		}
		busy(t, c, active, seconds)
		k.leave()
		settles(t, c, before)
		return (during.memory - before.memory) / idle, c
	}
	floor, _ := perSession("bare")
	ours, _ := perSession("measured")
	t.Logf("%d idle sessions: %d bytes each, of which the library alone takes %d", idle, ours, floor)
	if ours-floor > 64<<10 {
		t.Errorf("an idle session costs %d bytes beside the library's", ours-floor)
	}
}

// busy lets clients ask and watch while status events come.
func busy(t *testing.T, c *child, active, seconds int) {
	t.Helper()
	clients := make([]*client, active)
	for i := range clients {
		clients[i] = join(t, c.addr)
	}
	const perSecond = 20
	c.tell("change %d %d", perSecond*seconds, perSecond)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, one := range clients {
		asking.Go(func() {
			every := time.NewTicker(200 * time.Millisecond)
			defer every.Stop()
			for {
				select {
				case <-every.C:
					one.send(`421["list_containers",{}]`)
				case <-stop:
					return
				}
			}
		})
	}
	var noise []time.Duration
	asking.Go(func() { noise = yardstick(t, stop) })
	late := watched(t, clients, api.StatusChanged, perSecond*seconds)
	close(stop)
	asking.Wait()
	for _, one := range clients {
		_ = one.ws.Close()
	}
	p99, machine := percentile(late, 0.99), percentile(noise, 0.99)
	t.Logf("%d status events to %d active clients: p50 %v, p99 %v; a byte over TCP meanwhile: p99 %v", perSecond*seconds, active, percentile(late, 0.5), p99, machine)
	slack := time.Duration(load(1000, 0)) * time.Millisecond // for a machine that is busy with other tests
	if p99 > 250*time.Millisecond+machine+slack {
		t.Errorf("p99 of a status event is %v", p99)
	}
}

// yardstick is how long a byte takes over TCP, there and back: what the machine makes everybody wait.
func yardstick(t *testing.T, stop <-chan struct{}) []time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return nil
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	var all []time.Duration
	for {
		select {
		case due := <-every.C:
			if _, err := conn.Write([]byte{1}); err != nil {
				t.Error(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			all = append(all, time.Since(due))
		case <-stop:
			return all
		}
	}
}

// settles waits until the child is what it was before. After a small crowd, what the runtime keeps for itself is more than a tenth.
func settles(t *testing.T, c *child, before measure) {
	t.Helper()
	var now measure
	defer func() {
		t.Logf("before they came: %+v; after they left: %+v", before, now)
		if now.goroutines > before.goroutines {
			stacks, _ := strconv.Unquote(c.tell("goroutines"))
			t.Log(stacks)
		}
	}()
	eventually(t, "the child is what it was before", func() bool {
		now = c.measure()
		return now.held == 0 && now.goroutines <= before.goroutines && now.memory <= before.memory+max(before.memory/10, load(1<<20, 0))
	})
}

// phase is what happened while events went out.
type phase struct {
	late, machine []time.Duration
	rss           int
}

// Clients that never read, with pongs and without, cost a bounded amount, and the others get their events as before.
func TestLoad_ClientsThatNeverRead(t *testing.T) {
	alongside(t)
	c := startChild(t, "measured")
	good := make([]*client, 4)
	for i := range good {
		good[i] = join(t, c.addr)
	}
	play(t, c, good) // so that what grows once has grown
	var quiet, hard phase
	for range 2 {
		quiet.add(play(t, c, good))
		hard.add(play(t, c, good, deaf(t, c.addr), deaf(t, c.addr), deaf(t, c.addr), deaf(t, c.addr)))
	}
	t.Logf("quiet: %v; with clients that never read: %v", quiet, hard)
	if hard.rss > quiet.rss+32<<20 {
		t.Errorf("memory went from %d to %d", quiet.rss, hard.rss)
	}
	slack := time.Duration(load(1000, 0)) * time.Millisecond // for a machine that is busy with other tests
	if got, was := percentile(hard.late, 0.99), percentile(quiet.late, 0.99); got > 2*was+percentile(hard.machine, 0.99)+slack {
		t.Errorf("p99 went from %v to %v", was, got)
	}
	var dropped, pongs int
	if _, err := fmt.Sscan(c.tell("counts %s %s", eventsDropped, brokeHeartbeat), &dropped, &pongs); err != nil || dropped == 0 || pongs == 0 {
		t.Errorf("%d events were dropped and %d clients cut off for their pongs: the bad ones were not bad (%v)", dropped, pongs, err)
	}
	eventually(t, "only the others are left", func() bool { return c.tell("sessions") == fmt.Sprint(len(good)) })
}

// play lets large events go out to the good ones, who read, and to the bad ones, of whom every other one sends pongs.
func play(t *testing.T, c *child, good []*client, bad ...*client) phase {
	t.Helper()
	const perSecond, size = 50, 64 << 10
	var p phase
	stop := make(chan struct{})
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { p.machine = yardstick(t, stop) })
	for i := 0; i < len(bad); i += 2 {
		meanwhile.Go(func() { pong(bad[i], stop) })
	}
	every := time.NewTicker(time.Second / perSecond)
	defer every.Stop()
	for range perSecond * load(3, 25) {
		<-every.C
		c.tell("say %d", size)
		p.late = append(p.late, watched(t, good, api.MessageReceived, 1)...)
		p.rss = max(p.rss, c.rss())
	}
	close(stop)
	meanwhile.Wait()
	for _, one := range bad {
		_ = one.ws.Close()
	}
	return p
}

func (p *phase) add(more phase) {
	p.late, p.machine, p.rss = append(p.late, more.late...), append(p.machine, more.machine...), max(p.rss, more.rss)
}

func (p phase) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, at most %d MiB, a byte over TCP meanwhile p99 %v", percentile(p.late, 0.5), percentile(p.late, 0.99), p.rss>>20, percentile(p.machine, 0.99))
}

// deaf joins and lets the kernel take little for it.
func deaf(t *testing.T, addr string) *client {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }) // it may take more
	}}).DialContext}
	ws, _, err := dialer.Dial("ws://"+addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	one := &client{t: t, ws: ws}
	one.read()
	one.send("40")
	one.read()
	return one
}

// pong says that all is well.
func pong(c *client, stop <-chan struct{}) {
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			if c.write("3") != nil {
				return
			}
		case <-stop:
			return
		}
	}
}
