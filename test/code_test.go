package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/xid"

	"github.com/flow-manager/flow-manager/controller/code"
)

// A container is mounted the path of a link, not a snapshot: it sees the snapshot that the link leads to when it starts, as
// any user, and cannot change it; a restart of the same container shows the next one.
func TestCode_AContainerSeesWhatItsLinkLeadsTo(t *testing.T) {
	binaries(t) // for the image
	t.Cleanup(func() { removeNamed(t) })
	for _, uid := range []int{0, 1000} {
		t.Run(fmt.Sprint("uid ", uid), func(t *testing.T) {
			snapshots, err := code.Open(t.Context(), filepath.Join(t.TempDir(), "code"), code.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			name, source := xid.New().String(), codeSource(t, "one")
			snapshotLink(t, snapshots, name, source)
			id := runsCode(t, fmt.Sprint(named(t, "show"), uid), uid, snapshots.LinkPath(name))

			start := func(how func() error) []string {
				t.Helper()
				if err := how(); err != nil {
					t.Fatal(err)
				}
				return printed(t, id)
			}
			lines := start(func() error { return engine.ContainerStart(t.Context(), id, container.StartOptions{}) })
			saw(t, lines, uid, "one")

			writeSecret(t, filepath.Join(source, "lib/version"), "two")
			snapshotLink(t, snapshots, name, source)
			lines = start(func() error { return engine.ContainerRestart(t.Context(), id, container.StopOptions{}) })
			saw(t, lines, uid, "one", "two")
		})
	}
}

// codeSource is code with a program and a version, which nobody but its owner may read.
func codeSource(t *testing.T, version string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(dir, "bin/show"), "./flows/show")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeSecret(t, filepath.Join(dir, "lib/version"), version)
	if err := os.Symlink("lib/../lib/version", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeSecret(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// snapshotLink takes the code and leads name's link to it.
func snapshotLink(t *testing.T, snapshots *code.Snapshots, name, source string) {
	t.Helper()
	digest, release, err := snapshots.Take(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := snapshots.Verify(t.Context(), digest); err != nil {
		t.Fatal(err)
	}
	if err := snapshots.Link(name, digest); err != nil {
		t.Fatal(err)
	}
}

// runsCode makes a container that runs the program in the code mounted from source.
func runsCode(t *testing.T, name string, uid int, source string) string {
	t.Helper()
	made, err := engine.ContainerCreate(t.Context(),
		&container.Config{Image: echoImage, User: fmt.Sprint(uid), Entrypoint: []string{"/app/bin/show"}, Cmd: []string{"/app/lib/version", "/app/current"}},
		&container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: source, Target: "/app", ReadOnly: true}}}, nil, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// printed waits until a container has ended and gives the lines that it has printed so far.
func printed(t *testing.T, id string) []string {
	t.Helper()
	ended, failed := engine.ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
	select {
	case end := <-ended:
		if end.StatusCode != 0 {
			t.Fatalf("it ended with %d", end.StatusCode)
		}
	case err := <-failed:
		t.Fatal(err)
	}
	logs, err := engine.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, logs); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// saw fails the test unless each run found its version, by both ways, and could not write.
func saw(t *testing.T, lines []string, uid int, versions ...string) {
	t.Helper()
	var got, want []object
	for _, line := range lines {
		var one object
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got = append(got, one)
	}
	for _, version := range versions {
		found := func(dir string) object {
			return object{"contents": version, "read": "done", "write": "open " + dir + "/new: read-only file system"}
		}
		want = append(want, object{"uid": float64(uid), "files": object{"/app/lib/version": found("/app/lib"), "/app/current": found("/app")}})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the container saw (-want +got):\n%s", diff)
	}
}
