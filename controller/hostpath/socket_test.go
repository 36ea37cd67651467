package hostpath

import (
	"errors"
	"net"
	"os"
	"testing"
)

// Where an engine listens, nothing of it is mounted, wherever that is.
func TestGuard_Resolve_EnginesElsewhere(t *testing.T) {
	base := host(t, "exec/libnetwork", "exec/containerd", "exec/plugins", "state/tasks", "sockets", "mine", "root/overlay2", "app")
	for _, path := range []string{"/exec/libnetwork/3ce5cd32a7f4.sock", "/state/containerd.sock", "/sockets/docker.sock", "/mine/podman.sock", "/app/app.sock"} {
		listener, err := net.Listen("unix", base+path)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
	if err := os.Chown(base+"/mine/podman.sock", 1000, 1000); err != nil {
		t.Fatal(err)
	}
	g := New([]string{base}, nil)
	g.Engine = func() []string { return []string{base + "/root"} }
	for path, want := range map[string]error{
		"/exec": ErrNever, "/exec/plugins": ErrNever, "/exec/containerd": ErrNever, "/state": ErrNever, "/state/tasks": ErrNever,
		"/sockets": ErrNever, "/sockets/docker.sock": ErrNever, "/root": ErrNever, "/root/overlay2": ErrNever, "": ErrNever,
		"/app": nil, "/app/app.sock": nil, "/mine": nil,
	} {
		if got, err := g.Resolve(base+path, false, nil); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
}

func TestListener(t *testing.T) {
	for line, want := range map[string]string{
		"Num       RefCount Protocol Flags    Type St Inode Path\n":                               "",
		"0000000066061198: 00000002 00000000 00010000 0001 01 8776777 /run/docker.sock\n":         "/run/docker.sock",
		"0000000066061198: 00000002 00000000 00010000 0001 01    12 /run/with a blank\n":          "/run/with a blank",
		"0000000066061198: 00000002 00000000 00010000 0001 01 8776777 /run/../run/x\n":            "/run/x",
		"0000000066061198: 00000003 00000000 00000000 0001 03 8776777 /run/docker.sock\n":         "",
		"0000000066061198: 00000002 00000000 00010000 0001 01 8776777 @/containerd-shim/x.sock\n": "",
		"0000000066061198: 00000002 00000000 00010000 0001 01 8776777 relative/docker.sock\n":     "",
		"0000000066061198: 00000002 00000000 00010000 0001 01 8776777\n":                          "",
	} {
		if got := listener([]byte(line)); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}
