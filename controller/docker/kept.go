package docker

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/docker/docker/api/types/container"
)

// maxKept is how much is kept of the output of a container that is removed: more than the engine keeps of it.
const maxKept = 64 << 20

// kept are the outputs of containers that somebody reads and that may be removed meanwhile, by their Docker ids.
type kept struct {
	mu sync.Mutex
	by map[string]*keptOutput
}

// keptOutput is what a container wrote, as the engine gave it, in a file without a name.
type keptOutput struct {
	readers int
	file    *os.File // nil while the engine has the container
	size    int64
}

// Keep implements server.Logs.
func (r *Runtime) Keep(dockerID string) (release func()) {
	k := &r.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.by[dockerID]
	if o == nil {
		if k.by == nil {
			k.by = map[string]*keptOutput{}
		}
		o = &keptOutput{}
		k.by[dockerID] = o
	}
	o.readers++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if o.readers--; o.readers == 0 {
			delete(k.by, dockerID)
			o.drop()
		}
	}
}

func (o *keptOutput) drop() {
	if o.file != nil {
		_ = o.file.Close() // it has no name, and is gone
		o.file = nil
	}
}

// find gives a container's output that was kept; nil where none was.
func (k *kept) find(dockerID string) io.ReadCloser {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.by[dockerID]
	if o == nil || o.file == nil {
		return nil
	}
	return io.NopCloser(io.NewSectionReader(o.file, 0, o.size))
}

// put keeps a file until the last reader is gone, or nothing where there is none; nil drops what was kept.
func (k *kept) put(dockerID string, file *os.File, size int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.by[dockerID]
	if o == nil {
		o = &keptOutput{}
	}
	o.drop()
	if o.file, o.size = file, size; o.readers == 0 {
		o.drop()
	}
}

func (k *kept) isRead(dockerID string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.by[dockerID] != nil
}

// keepOutput keeps what a container wrote for who reads it. Where it cannot, the rest is lost to them: the removal does not wait.
func (r *Runtime) keepOutput(ctx context.Context, dockerID string) {
	if !r.kept.isRead(dockerID) {
		return
	}
	stream, err := r.client.ContainerLogs(ctx, dockerID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: "all"})
	if err != nil {
		return
	}
	defer stream.Close()
	file, err := r.nameless()
	if err != nil {
		return
	}
	size, err := io.Copy(file, io.LimitReader(stream, maxKept))
	if err != nil {
		_ = file.Close()
		return
	}
	r.kept.put(dockerID, file, size)
}

// nameless makes a file that is gone with its last descriptor.
func (r *Runtime) nameless() (*os.File, error) {
	folder := ""
	if len(r.config.Folders) > 0 {
		folder = r.config.Folders[0]
	}
	file, err := os.CreateTemp(folder, ".output-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
