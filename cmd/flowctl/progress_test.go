package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what was written to a terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more sync.Cond
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Broadcast()
	return s.text.Write(p)
}

// await waits until the text is there.
func (s *screen) await(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.text.String(), text) {
		s.more.Wait()
	}
}

// newTerminal is a pseudo terminal of 60 columns; read closes it and gives all that was written to it.
func newTerminal(t *testing.T) (terminal *os.File, shown *screen, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}); err != nil {
		t.Fatal(err)
	}
	shown = &screen{}
	shown.more.L = &shown.mu
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(shown, master) // ends with an error once the terminal is closed
	}()
	t.Cleanup(func() { _ = master.Close() })
	return terminal, shown, func() string {
		_ = terminal.Close()
		<-done
		return shown.text.String()
	}
}

// On a terminal one line tells what is waited for, and leaves nothing behind.
func TestProgress_Terminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	f := newFake(t)
	f.reaches("running")
	terminal, shown, read := newTerminal(t)
	f.on["apply_container"] = func(s *session, r request) {
		s.ack(r, `{"ok":true,"generation":1,"changed":true,"container":{"name":"aa","spec":{"image":"alpine:3"}}}`)
		s.emit("image_pull_progress", `{"image":"alpine:3","layer":"l1","status":"Downloading","current":1000000,"total":3000000}`)
		s.emit("image_pull_progress", `{"image":"alpine:3","layer":"l2","status":"Downloading","current":1000000,"total":1000000}`)
		s.emit("image_pull_progress", `{"image":"other:1","layer":"l2","status":"Downloading","current":1,"total":1}`)
		shown.await("MB")
		s.answer(r, "container_created", `"status":"running"`)
	}
	code := run(soon(t), []string{"apply", "-f", "-", "--wait"}, strings.NewReader(documents("aa")), terminal, terminal)
	got := read()
	begins, ends := "aa created (generation 1)\r\n\r\x1b[Kwaiting for aa: 0s; pulling alpine:3, 2MB of 4MB", "\r\x1b[Kaa is available\r\n"
	if code != exitOK || !strings.HasPrefix(got, begins) || !strings.HasSuffix(got, ends) || strings.Count(got, "\n") != 2 {
		t.Errorf("%d %q, want %q .. %q", code, got, begins, ends)
	}
}

// Elsewhere a pull is told once, of the images that are waited for, whichever comes first.
func TestProgress_Plain(t *testing.T) {
	f := newFake(t)
	f.reaches("running")
	f.on["apply_container"] = func(s *session, r request) {
		pull := func(image string) {
			s.emit("image_pull_progress", fmt.Sprintf(`{"image":%q,"layer":"l","status":"x"}`, image))
		}
		name := fmt.Sprint(r.Body["name"])
		if name == "bb" {
			pull("bb:1")
		}
		s.ack(r, fmt.Sprintf(`{"ok":true,"generation":1,"changed":true,"container":{"name":%q,"spec":{"image":"%[1]s:1"}}}`, name))
		pull("aa:1")
		pull("other:1")
		s.answer(r, "container_created", `"status":"running"`)
	}
	wants(t, flowctl(t, documents("aa", "bb"), "apply", "-f", "-", "--wait"), result{
		Out: "aa created (generation 1)\nbb created (generation 1)\naa is available\nbb is available\n", Err: "pulling aa:1\npulling bb:1\n"})
}

func TestProgress_Line(t *testing.T) {
	now := time.Now()
	p := (&app{stderr: io.Discard}).newProgress()
	p.begun = now.Add(-90 * time.Second)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		p.await(name)
	}
	if got, want := p.line(now), "waiting for a, b, c and 2 more: 1m30s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.follow("x:1")
	p.pulls["x:1"] = &pull{at: now.Add(-2 * stale)}
	p.seen("b")
	p.seen("c")
	if got, want := p.line(now), "waiting for a, d, e: 1m30s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.pulls["x:1"].at = now
	if got, want := p.line(now), "waiting for a, d, e: 1m30s; pulling x:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is told meanwhile takes the place of the line.
func TestProgress_Note(t *testing.T) {
	t.Setenv("TERM", "xterm")
	terminal, _, read := newTerminal(t)
	a := &app{stderr: terminal, at: target{Token: "fm_0123456789"}}
	a.note("early")
	p := a.newProgress()
	p.await("a")
	p.begun = time.Now()
	p.draw()
	a.note("lost\n%s \x1b[2J", "fm_0123456789")
	want := "early\r\n\r\x1b[Kwaiting for a: 0s\r\x1b[Klost [FILTERED] \\x1b[2J\r\n"
	if got := read(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A line that is too long for the terminal is cut, lest it stay.
func TestProgress_Width(t *testing.T) {
	t.Setenv("TERM", "xterm")
	terminal, _, read := newTerminal(t)
	if width := terminalWidth(terminal); width != 60 {
		t.Fatalf("the terminal has %d columns", width)
	}
	p := (&app{stderr: terminal}).newProgress()
	p.await(strings.Repeat("é", 100))
	p.draw()
	if got := []rune(strings.TrimPrefix(read(), "\r\x1b[K")); len(got) != 59 {
		t.Errorf("%d characters: %q", len(got), string(got))
	}
	t.Setenv("TERM", "dumb")
	if width := terminalWidth(terminal); width != 0 {
		t.Errorf("a dumb terminal has %d columns", width)
	}
}
