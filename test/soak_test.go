package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// burden is what a manager costs at rest, and what a tenth of the soak has taken.
type burden struct {
	goroutines, descriptors, heap float64
	cpu                           time.Duration
}

// A manager that lives a minute of everything is as light at its end as at its beginning: clients that come, upgrade and go in each way,
// flows that are declared, crash, are updated, taken back, given other code, followed and deleted. It runs alone: it is measured.
func TestSoak(t *testing.T) {
	const tenths = 10
	base := flowCode(t, "one")
	m := newManager(t, "--allow-host-path", base, "--max-requests-per-second", "100000")
	c := m.dial()
	s := soak{t: t, m: m, c: c, base: base}
	s.tenth() // what is made once and kept is made by now
	var all []burden
	for range tenths {
		all = append(all, s.tenth())
	}
	for i, b := range all {
		t.Logf("tenth %d: %.0f goroutines, %.0f descriptors, %.1f MiB of heap, %v of CPU", i+1, b.goroutines, b.descriptors, b.heap/(1<<20), b.cpu)
	}
	first, last := all[0], all[tenths-1]
	if last.goroutines > first.goroutines+5 {
		t.Errorf("goroutines went from %.0f to %.0f:\n%s", first.goroutines, last.goroutines, m.log.tail(2000))
	}
	if last.descriptors > first.descriptors+3 {
		t.Errorf("descriptors went from %.0f to %.0f", first.descriptors, last.descriptors)
	}
	if last.heap > first.heap+4<<20 {
		t.Errorf("the heap went from %.1f MiB to %.1f MiB", first.heap/(1<<20), last.heap/(1<<20))
	}
	if last.cpu > first.cpu*3/2+200*time.Millisecond {
		t.Errorf("the same work took %v of CPU, and then %v", first.cpu, last.cpu)
	}
	m.clean(t, c)
}

// soak is the work of one tenth, over and over.
type soak struct {
	t    *testing.T
	m    *manager
	c    *wsClient
	base string
	n    int
}

// tenth does all of it once, waits until it is over, and weighs what is left.
func (s *soak) tenth() burden {
	s.t.Helper()
	s.n++
	before := s.cpu()
	clients := make(chan error, 1)
	go func() { clients <- s.visits(40) }()
	s.life()
	if err := <-clients; err != nil {
		s.t.Fatal(err)
	}
	s.m.eventually("all clients are gone", func() error {
		if n := s.gauge("flow_manager_sessions"); n != 1 {
			return fmt.Errorf("%.0f sessions", n)
		}
		return nil
	})
	b := burden{cpu: s.cpu() - before}
	s.rest(&b)
	return b
}

// rest weighs a manager that has nothing to do: the least of a second, for what is about to end ends within it.
func (s *soak) rest(b *burden) {
	least := func(seen *float64, now float64) {
		if *seen == 0 || now < *seen {
			*seen = now
		}
	}
	for range 20 {
		least(&b.goroutines, s.gauge("go_goroutines"))
		least(&b.descriptors, s.gauge("process_open_fds"))
		least(&b.heap, s.gauge("go_memstats_heap_alloc_bytes"))
		time.Sleep(50 * time.Millisecond)
	}
}

// life is that of one flow.
func (s *soak) life() {
	t, c := s.t, s.c
	name := named(t, fmt.Sprintf("soak%d", s.n))
	id := c.run(t, merged(withFlowCode(s.base), object{"name": name, "restart_policy": object{"name": "always"}}))
	s.available(id)

	log := c.must(t, "get_logs", object{"container_id": id, "follow": true})["log_id"]
	c.print(t, id, "a line", false)
	c.lines(t, log, "stdout a line")
	c.must(t, "stop_logs", object{"log_id": log})

	putCode(t, s.base+"/code", "echo", fmt.Sprint(s.n))
	c.must(t, "update_container", object{"container_id": id, "code_path": s.base + "/code"})
	c.wait(t, "container_updated", id)

	c.must(t, "update_container", object{"container_id": id, "spec": object{"environment": object{"EXIT_CODE": "3"}}, "request_id": name})
	if _, err := c.await("error", func(o object) bool { return o["request_id"] == name }); err != nil {
		t.Fatal(err)
	}
	c.must(t, "rollback_container", object{"container_id": id})
	c.wait(t, "container_updated", id)
	s.available(id)

	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3}})
	c.wait(t, "container_crashed", id)
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
}

func (s *soak) available(id string) {
	s.t.Helper()
	s.m.eventually("it is available", func() error {
		if condition(s.c.status(s.t, id), "Available")["status"] != "True" {
			return errNotYet
		}
		return nil
	})
}

// visits are of clients that go in each way.
func (s *soak) visits(count int) error {
	for range count {
		for _, leave := range []func(*websocket.Conn) error{closed, reset} {
			if err := s.visit(leave); err != nil {
				return err
			}
		}
		for _, last := range []string{"41", ""} {
			if err := s.upgraded(last); err != nil {
				return err
			}
		}
	}
	return nil
}

// closed says goodbye.
func closed(ws *websocket.Conn) error {
	if err := ws.WriteMessage(websocket.TextMessage, []byte("41")); err != nil {
		return err
	}
	return ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience))
}

// reset vanishes.
func reset(ws *websocket.Conn) error { return ws.NetConn().(*net.TCPConn).SetLinger(0) }

func (s *soak) visit(leave func(*websocket.Conn) error) error {
	c, err := dial(s.m.addr)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.ask("list_containers", object{}); err != nil {
		return err
	}
	return leave(c.conn)
}

// upgraded joins by polling and goes right behind its upgrade, all in one piece: with a last word as a page that is left, or without.
func (s *soak) upgraded(last string) error {
	const path = "/socket.io/?EIO=4&transport="
	polling := "http://" + s.m.addr + path + "polling"
	sid, err := s.handshake(polling)
	if err != nil {
		return err
	}
	joined, err := s.m.web.Post(polling+"&sid="+sid, "text/plain", strings.NewReader("40"))
	if err != nil {
		return err
	}
	joined.Body.Close()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.m.addr+path+"websocket&sid="+sid, nil)
	if err != nil {
		return err
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
		return err
	}
	if _, answer, err := ws.ReadMessage(); err != nil || string(answer) != "3probe" {
		return fmt.Errorf("the probe was answered %q: %w", answer, err)
	}
	end := clientText("5")
	if last != "" {
		end = append(end, clientText(last)...)
	}
	_, err = ws.NetConn().Write(append(end, 0x88, 0x80, 0, 0, 0, 0)) // a close frame
	return err
}

// clientText is a frame with a mask of zeros.
func clientText(payload string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func (s *soak) handshake(url string) (sid string, err error) {
	answer, err := s.m.web.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return "", err
	}
	found := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(body.String())
	if found == nil {
		return "", fmt.Errorf("handshake: %s", body.String())
	}
	return found[1], nil
}

// gauge reads one value of /metrics.
func (s *soak) gauge(name string) float64 {
	s.t.Helper()
	for line := range strings.Lines(string(s.m.metrics(s.t))) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("/metrics has no %s", name)
	return 0
}

// cpu is what the manager has used.
func (s *soak) cpu() time.Duration {
	s.t.Helper()
	const ticksPerSecond = 100 // of Linux, to programs
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.m.pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	total := 0
	for _, ticks := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(ticks)
		if err != nil {
			s.t.Fatal(err)
		}
		total += n
	}
	return time.Duration(total) * time.Second / ticksPerSecond
}
