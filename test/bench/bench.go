package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/rs/xid"
)

// image is what hack/echo-image.sh makes.
const image = "flow-manager/echo:latest"

// patience is how long one thing may take that has to happen.
const patience = 2 * time.Minute

// bench is what the rows share: a folder, the engine, names that are nobody else's, and what is to be undone.
type bench struct {
	binary string
	quick  bool
	dir    string
	prefix string
	engine *client.Client
	named  int
	undo   []func() error // of the row that is measured, newest last
}

func newBench(ctx context.Context, binary string, quick bool) (*bench, error) {
	// Not in /tmp, which is often in memory: commits are to cost what they cost where stores are.
	dir, err := os.MkdirTemp("/var/tmp", "flow-manager-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{quick: quick, dir: dir, prefix: "bench-" + xid.New().String()[8:] + "-"}
	if b.binary, err = filepath.Abs(binary); err == nil {
		b.engine, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	}
	if err == nil {
		_, err = b.engine.ImageInspect(ctx, image)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare (hack/bench.sh brings up what is needed): %w", err), os.RemoveAll(dir))
	}
	return b, nil
}

// times is how often something is done, in a quick run and in one that counts.
func (b *bench) times(quick, full int) int {
	if b.quick {
		return quick
	}
	return full
}

// name makes a name that has always the same length.
func (b *bench) name() string {
	b.named++
	return fmt.Sprintf("%s%05d", b.prefix, b.named)
}

// folder makes one for a manager, a store or a socket.
func (b *bench) folder() (string, error) {
	return os.MkdirTemp(b.dir, "")
}

// later has f done at the end of the row, whatever becomes of that.
func (b *bench) later(f func() error) { b.undo = append(b.undo, f) }

// tidy undoes what a row has done, newest first, and takes away every container of ours that is left.
func (b *bench) tidy() error {
	var errs []error
	for _, f := range slices.Backward(b.undo) {
		errs = append(errs, f())
	}
	b.undo = nil
	return errors.Join(append(errs, b.removeAll())...)
}

func (b *bench) cleanUp() error {
	return errors.Join(b.tidy(), os.RemoveAll(b.dir))
}

// removeAll has a context of its own: it must work after an interrupt.
func (b *bench) removeAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	left, err := b.engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", b.prefix))})
	if err != nil {
		return fmt.Errorf("list what is left: %w", err)
	}
	ids := make([]string, len(left))
	for i := range left {
		ids[i] = left[i].ID
	}
	return b.remove(ctx, ids)
}

// describe says what the figures were measured on.
func (b *bench) describe(ctx context.Context) []string {
	facts := []string{fmt.Sprintf("%d x %s, %s/%s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH), "load before: " + load()}
	if v, err := b.engine.ServerVersion(ctx); err == nil {
		facts = append(facts, "Docker engine "+v.Version+", kernel "+v.KernelVersion)
	}
	facts = append(facts, tells(ctx, "flow-manager at ", "git", "log", "-1", "--format=%h")...)
	facts = append(facts, tells(ctx, "docker-compose ", "docker-compose", "version", "--short")...)
	return append(facts, runtime.Version())
}

// tells is what a program says of itself, nothing where it is not there.
func tells(ctx context.Context, label, program string, arguments ...string) []string {
	out, err := exec.CommandContext(ctx, program, arguments...).Output()
	if err != nil {
		return nil
	}
	return []string{label + strings.TrimSpace(string(out))}
}

func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "CPU"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "CPU"
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:1], "")
}
