package docker

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// LastLines implements controller.Runtime. What the container wrote that is no UTF-8 is replaced.
func (r *Runtime) LastLines(ctx context.Context, dockerID string, lines, limit int) ([]string, error) {
	stream, err := r.client.ContainerLogs(ctx, dockerID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(lines)})
	if err != nil {
		return nil, classed(err)
	}
	defer stream.Close()
	var tail tailBuffer
	tail.limit = limit
	if _, err := stdcopy.StdCopy(&tail, &tail, stream); err != nil {
		return nil, fmt.Errorf("read logs: %w", err)
	}
	return tail.lines(lines), nil
}

// tailBuffer keeps the last limit bytes of what is written to it: a single line may be longer than memory.
type tailBuffer struct {
	limit   int
	data    []byte
	clipped bool
}

// Write implements io.Writer and never fails.
func (b *tailBuffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p...)
	if over := len(b.data) - b.limit; over > 0 {
		b.data, b.clipped = append([]byte(nil), b.data[over:]...), true
	}
	return len(p), nil
}

// lines leaves the first line out where its beginning is missing, unless it is all there is.
func (b *tailBuffer) lines(most int) []string {
	text := strings.ToValidUTF8(string(bytes.TrimRight(b.data, "\n")), "\uFFFD")
	if text == "" {
		return []string{}
	}
	lines := strings.Split(text, "\n")
	if b.clipped && len(lines) > 1 {
		lines = lines[1:]
	}
	return lines[max(0, len(lines)-most):]
}
