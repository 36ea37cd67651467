package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"
)

// privateEngine is a dockerd of this test's own, which it may stop and kill.
type privateEngine struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	client *client.Client
}

// newPrivateEngine starts one that has the image, with room for so many bytes, or for as many as the disk has.
func newPrivateEngine(t *testing.T, room int) *privateEngine {
	t.Helper()
	binaries(t)                                                  // and the image
	dir, err := os.MkdirTemp("/var/tmp", "flow-manager-engine-") // overlayfs is not to be had on every /tmp
	if err != nil {
		t.Fatal(err)
	}
	e := &privateEngine{t: t, dir: dir}
	if e.client, err = client.NewClientWithOpts(client.WithHost(e.host()), client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	if room > 0 {
		e.confine(room)
	}
	e.start()
	t.Cleanup(e.remove)
	e.load()
	return e
}

// confine gives the engine a file system of its own.
func (e *privateEngine) confine(room int) {
	e.t.Helper()
	if err := os.Mkdir(e.root(), 0o700); err != nil {
		e.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", e.root(), "tmpfs", 0, fmt.Sprintf("size=%d", room)); err != nil {
		e.t.Fatal(err)
	}
}

// load copies the image from the machine's engine.
func (e *privateEngine) load() {
	t := e.t
	t.Helper()
	image, err := engine.ImageSave(t.Context(), []string{echoImage})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	loaded, err := e.client.ImageLoad(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Body.Close()
	eventually(t, "the image is loaded", func() error {
		_, err := e.client.ImageInspect(t.Context(), echoImage)
		return err
	})
}

func (e *privateEngine) root() string { return filepath.Join(e.dir, "data") }

func (e *privateEngine) host() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

func (e *privateEngine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.forgetContainerd()
	args := append([]string{"--net", "--mount", "dockerd", "--host", e.host(), "--data-root", e.root(), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--bridge", "none", "--iptables=false", "--ip-forward=false", "--storage-driver", "overlay2"}, e.identity()...)
	// In a network of its own: an engine without a bridge removes that of the engine next to it. And with mounts of its own: a
	// container that another engine starts meanwhile would hold a copy of them, and they could not be taken away.
	e.cmd = exec.Command("unshare", args...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	eventually(e.t, "the private engine answers", func() error {
		_, err := e.client.Ping(e.t.Context())
		return err
	})
}

// sharedKey is the newest API of engines whose id comes of a key in /etc, which all engines of a host share.
const sharedKey = "1.41"

// identity lets such an engine have an id of its own. Newer ones have, and do not know the setting.
func (e *privateEngine) identity() []string {
	e.t.Helper()
	version, err := engine.ServerVersion(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	if versions.GreaterThan(version.APIVersion, sharedKey) {
		return nil
	}
	config := filepath.Join(e.dir, "daemon.json")
	text := fmt.Sprintf(`{"deprecated-key-path": %q}`, filepath.Join(e.dir, "key.json"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return []string{"--config-file", config}
}

// relay makes another way to the engine, which shows what clients say before it passes it on.
func (e *privateEngine) relay(hear func(said []byte)) (host string) {
	e.t.Helper()
	socket := filepath.Join(e.dir, "relay.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go e.pass(client, hear)
		}
	}()
	return "unix://" + socket
}

// pass carries one connection. Errors end it, which is all that either side is to see of them.
func (e *privateEngine) pass(client net.Conn, hear func(said []byte)) {
	defer client.Close()
	server, err := net.Dial("unix", filepath.Join(e.dir, "docker.sock"))
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	said := make([]byte, 64<<10)
	for {
		n, err := client.Read(said)
		if err != nil {
			return
		}
		hear(said[:n])
		if _, err := server.Write(said[:n]); err != nil {
			return
		}
	}
}

// forgetContainerd removes the pid file of a containerd that died with its dockerd. Where nobody buries the dead, the next
// dockerd would wait for it.
func (e *privateEngine) forgetContainerd() {
	file := filepath.Join(e.dir, "exec", "containerd", "containerd.pid")
	pid, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if _, err := os.Readlink("/proc/" + strings.TrimSpace(string(pid)) + "/exe"); err != nil {
		_ = os.Remove(file) // where it stays, the start says so
	}
}

// unmount takes away what a killed engine has left mounted below its folder.
func (e *privateEngine) unmount() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		e.t.Error(err)
	}
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) { // what lies on top goes first
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], e.dir+"/") {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil {
				e.t.Errorf("unmount %s: %v", fields[1], err)
			}
		}
	}
}

func (e *privateEngine) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}

// inspect is the engine's own view of a container.
func (e *privateEngine) inspect(ref string) container.InspectResponse {
	e.t.Helper()
	c, err := e.client.ContainerInspect(e.t.Context(), ref)
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// list is all that it has.
func (e *privateEngine) list() []container.Summary {
	e.t.Helper()
	list, err := e.client.ContainerList(e.t.Context(), container.ListOptions{All: true})
	if err != nil {
		e.t.Fatal(err)
	}
	return list
}

func (e *privateEngine) stop(s syscall.Signal) {
	e.t.Helper()
	e.signal(s)
	_ = e.cmd.Wait() // its exit code says nothing about us
}

// remove ends the engine with all that it runs, a containerd that outlived a killed dockerd included.
func (e *privateEngine) remove() {
	ctx := context.Background() // that of the test has ended
	list, _ := e.client.ContainerList(ctx, container.ListOptions{All: true})
	for _, c := range list {
		_ = e.client.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
	}
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	_ = e.cmd.Process.Signal(syscall.SIGCONT) // a failed test may have left it standing still
	_ = e.cmd.Wait()
	if e.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(e.dir, "log")); err == nil {
			e.t.Logf("the engine's log:\n%s", log[max(0, len(log)-4000):])
		}
	}
	e.unmount()
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Errorf("remove the private engine: %v", err)
	}
}
