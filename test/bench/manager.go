package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// manager is one flow-manager with folders of its own, which outlive its process.
type manager struct {
	binary string
	dir    string
	args   []string
	addr   string
	cmd    *exec.Cmd
	exited chan error
	log    tail
}

// manage starts a manager that ends with the row.
func (b *bench) manage(ctx context.Context, args ...string) (*manager, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	m := &manager{binary: b.binary, dir: dir, args: args}
	if err := m.launch(ctx); err != nil {
		return nil, err
	}
	b.later(func() error { return m.end(syscall.SIGTERM) })
	return m, nil
}

// launch runs the program and waits until it serves.
func (m *manager) launch(ctx context.Context) error {
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", filepath.Join(m.dir, "data"),
		"--run-dir", filepath.Join(m.dir, "run"), "--max-containers", "1000000", "--max-requests-per-second", "1000000"}, m.args...)
	m.cmd = exec.Command(m.binary, args...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for the bench, which ends the manager in its turn
	stderr, err := m.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("start the manager: %w", err)
	}
	serving := make(chan string, 1)
	m.exited = make(chan error, 1)
	go func() {
		m.log.follow(stderr, serving)
		m.exited <- m.cmd.Wait()
	}()
	select {
	case m.addr = <-serving:
		return nil
	case err := <-m.exited:
		m.cmd = nil
		return fmt.Errorf("the manager ended before it served: %w\n%s", err, m.log.text())
	case <-after(ctx):
		return errors.Join(errors.New("the manager does not serve"), m.end(syscall.SIGKILL))
	}
}

// after is closed when ctx has ended, or patience has.
func after(ctx context.Context) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, patience)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}

// ready waits for /readyz.
func (m *manager) ready(ctx context.Context) error {
	return eventually(ctx, "the manager is ready", func() error {
		answer, err := http.Get("http://" + m.addr + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(answer.Body)
			return fmt.Errorf("%s: %s", answer.Status, text)
		}
		return nil
	})
}

// eventually asks again and again for what another process brings about.
func eventually(ctx context.Context, what string, check func() error) error {
	const pause = 10 * time.Millisecond
	end := after(ctx)
	every := time.NewTicker(pause)
	defer every.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-every.C:
		case <-end:
			return fmt.Errorf("not in time: %s: %w", what, err)
		}
	}
}

// end signals the process and waits for its end.
func (m *manager) end(s syscall.Signal) error {
	if m.cmd == nil {
		return nil
	}
	_ = m.cmd.Process.Signal(s) // it may have ended by itself
	defer func() { m.cmd = nil }()
	select {
	case err := <-m.exited:
		if s == syscall.SIGKILL {
			return nil
		}
		return err
	case <-time.After(patience):
		_ = m.cmd.Process.Kill()
		<-m.exited
		return errors.New("the manager had to be killed")
	}
}

// memory is the process's share of what it has in memory, in bytes.
func (m *manager) memory() (all float64, err error) {
	all, _, err = m.shares()
	return all, err
}

// shares also tells how much of that are pages of files, which the kernel takes back when it needs them.
func (m *manager) shares() (all, files float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", m.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	share := func(name string) (bytes float64, err error) {
		_, line, _ := strings.Cut(string(text), "\n"+name+":")
		_, err = fmt.Sscan(line, &bytes)
		return bytes * 1024, err
	}
	all, err = share("Pss")
	files, unknown := share("Pss_File")
	return all, files, errors.Join(err, unknown)
}

// busy is the CPU time that the process has used.
func (m *manager) busy() (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, err
}

// sum gives what a histogram of the manager has counted and added up, by the labels that a line of it has.
func (m *manager) sum(ctx context.Context, metric, labels string) (count, seconds float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.addr+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		switch {
		case !strings.Contains(name, labels):
		case strings.HasPrefix(name, metric+"_count{"):
			count, err = strconv.ParseFloat(value, 64)
		case strings.HasPrefix(name, metric+"_sum{"):
			seconds, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return count, seconds, nil
}

// tail keeps the end of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const maxLines = 20

// follow reads a log to its end and tells the address that its writer serves on.
func (t *tail) follow(r io.Reader, serving chan<- string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Message, Listen string }
		if bytes.Contains(lines.Bytes(), []byte(`"serving"`)) && json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "serving" {
			serving <- line.Listen
		}
		t.mu.Lock()
		t.lines = append(t.lines, lines.Text())
		t.lines = t.lines[max(0, len(t.lines)-maxLines):]
		t.mu.Unlock()
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
