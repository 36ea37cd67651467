package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"
)

// parallel is how many raw calls of the engine are made at once; it is the manager's own number of workers.
const parallel = 16

// blueprint is the configuration that the manager makes of a flow, to be made again without it.
type blueprint struct {
	config container.Config
	host   container.HostConfig
}

// spec declares a flow; every row that runs real ones runs this one.
func spec(name string) map[string]any {
	return map[string]any{"name": name, "image": image, "desired_state": "running", "environment": map[string]string{"GREETING": "hello"}}
}

// trace has the manager make one flow, and takes its configuration as the engine has it. Two things differ: the prefix of the
// labels, of the same length, or the manager would have to look at what is not its own; and the folder that is mounted,
// which must outlive the manager's.
func (b *bench) trace(ctx context.Context, c *session) (*blueprint, error) {
	name := b.name()
	if _, err := c.declare(ctx, "apply_container", spec(name)); err != nil {
		return nil, err
	}
	seen, err := b.engine.ContainerInspect(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &blueprint{*seen.Config, *seen.HostConfig}
	p.config.Labels = map[string]string{}
	for key, value := range seen.Config.Labels {
		p.config.Labels[strings.Replace(key, "io.flow-manager.", "io.raw-yardstk.", 1)] = value
	}
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	if len(p.host.Mounts) != 1 {
		return nil, fmt.Errorf("the manager mounted %d folders into a flow, where the bench knows of one", len(p.host.Mounts))
	}
	p.host.Mounts[0].Source = folder
	_, err = c.declare(ctx, "delete_container", map[string]any{"container_id": name})
	return p, errors.Join(err, os.Chmod(folder, 0o755))
}

// start makes a container of the blueprint and starts it.
func (b *bench) start(ctx context.Context, p *blueprint, name string) (string, error) {
	config, host := p.config, p.host
	config.Hostname = name
	made, err := b.engine.ContainerCreate(ctx, &config, &host, nil, nil, name)
	if err != nil {
		return "", fmt.Errorf("raw create: %w", err)
	}
	if err := b.engine.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return "", fmt.Errorf("raw start: %w", err)
	}
	return made.ID, nil
}

// remove takes containers away, running or not.
func (b *bench) remove(ctx context.Context, refs []string) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, ref := range refs {
		group.Go(func() error {
			err := b.engine.ContainerRemove(ctx, ref, container.RemoveOptions{Force: true, RemoveVolumes: true})
			if errdefs.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

func took(began time.Time) float64 { return milliseconds(time.Since(began)) }

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of our own values
	}
	return text
}
