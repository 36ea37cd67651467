package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// vigil waits until containers are as they are to be.
type vigil struct {
	app     *app
	until   string
	pending map[string]string // as they were named, by id or, until that is known, by name
	last    map[string]string // what was seen of each, by how it was named
	p       *progress
}

func (a *app) waitCommand() *cobra.Command {
	v := &vigil{app: a}
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "wait NAME|ID... [--for available|ready|running|stopped|completed|deleted] [--timeout 1m]",
		Short: "Wait until containers are available, or something else",
		Long: `Wait until containers are available, or something else. What was seen before the newest declaration does not count.

  available   ready, and this run has lasted for the monitor_seconds of its update_policy (5)
  ready       it runs, and its health check and its readiness are as declared
  running     it runs
  stopped     it does not run: it was stopped, or has ended and is not restarted
  completed   it has ended with code 0, and is not restarted
  deleted     it is gone

A container that will not come to this by itself ends the wait at once with exit code 1, its reason and its last lines: one that
has failed or was given up, and for available and ready one that ends a second time in a row. What is not so in time ends it with
exit code 3. --for condition=Available is the same as --for available.`,
		Example: "  flowctl wait hello --for stopped --timeout 30s",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			v.until = withoutCondition(v.until)
			if !slices.Contains(outcomes(), v.until) {
				return usagef("--for must be one of %s, not %q", strings.Join(outcomes(), ", "), v.until)
			}
			if limit <= 0 {
				return usagef("--timeout must be more than 0")
			}
			return v.wait(cmd.Context(), names, limit)
		},
	}
	cmd.Flags().StringVar(&v.until, "for", "available", "`state` to wait for: "+strings.Join(outcomes(), ", "))
	cmd.Flags().DurationVar(&limit, "timeout", time.Minute, "how long to wait, for all together")
	a.completeFlag(cmd, "for", outcomes)
	return a.completeNames(cmd, 0)
}

func outcomes() []string {
	return []string{"available", "ready", "running", "stopped", "completed", "deleted"}
}

// withoutCondition takes what other programs of this kind call condition=Available.
func withoutCondition(until string) string {
	kind, condition := strings.CutPrefix(strings.ToLower(until), "condition=")
	if condition && (kind == "available" || kind == "ready") {
		return kind
	}
	return until
}

func (v *vigil) wait(ctx context.Context, names []string, limit time.Duration) error {
	v.pending, v.last, v.p = map[string]string{}, map[string]string{}, v.app.newProgress()
	for _, name := range names {
		if _, twice := v.pending[name]; !twice {
			v.pending[name] = name
			v.p.await(name)
		}
	}
	inTime, cancel := within(ctx, limit, "")
	defer cancel()
	v.p.start()
	defer v.p.stop()
	err := v.app.watch(inTime, hearing(v.begin, v.hear))
	if isTimeout(err) && inTime.Err() != nil && ctx.Err() == nil {
		return v.missed(limit)
	}
	if hopeless, ok := errors.AsType[*hopelessError](err); ok {
		v.app.lastWords(ctx, hopeless)
	}
	return err
}

// lastWords takes in the last lines of a container that has failed. Where they are not to be had, what is known already stands.
func (a *app) lastWords(ctx context.Context, failed *hopelessError) {
	ctx, cancel := within(ctx, glance, "no last lines")
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	var explained api.Explanation
	if body, err := a.explain(ctx, c, failed.name); err != nil || json.Unmarshal(body, &explained) != nil {
		return
	}
	ending := explained.LastExit
	if ending == nil && explained.FailedUpdate != nil {
		ending = &explained.FailedUpdate.Ending
	}
	if ending != nil {
		failed.ExitCode, failed.Logs = ending.ExitCode, ending.Logs
	}
}

// missed says of each what it is instead.
func (v *vigil) missed(limit time.Duration) error {
	var failures several
	for _, name := range slices.Sorted(maps.Values(v.pending)) {
		said := name + " was not seen " + v.until
		if last := v.last[name]; last != "" {
			said = fmt.Sprintf("%s is %s, and was not seen %s", name, last, v.until)
		}
		failures = append(failures, &timeoutError{missed: said, after: limit})
	}
	return failures.orNil()
}

// begin looks at all before it subscribes, for their ids, and after it, for what happened in between.
func (v *vigil) begin(ctx context.Context, c *Client) error {
	if err := v.look(ctx, c); err != nil {
		return err
	}
	request := map[string]any{"container_ids": slices.Sorted(maps.Keys(v.pending)), "events": []string{api.ContainerChanged, api.ImagePullProgress}}
	if _, err := v.app.subscribe(ctx, c, request); err != nil {
		return err
	}
	return v.look(ctx, c)
}

func (v *vigil) look(ctx context.Context, c *Client) error {
	for _, id := range slices.Sorted(maps.Keys(v.pending)) {
		name, ok := v.pending[id]
		if !ok {
			continue // an event has told of it meanwhile
		}
		object, err := v.app.object(ctx, c, id)
		switch {
		case refusedAs(err, api.ContainerNotFound) && v.until == "deleted":
			err = v.met(id, "deleted")
		case err == nil:
			err = v.judge(id, object)
		case refused(err) && name != id:
			err = fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge notes what a container is by now; pending knows it by key.
func (v *vigil) judge(key string, object json.RawMessage) error {
	var j judged
	if err := json.Unmarshal(object, &j); err != nil {
		return fmt.Errorf("%w: container %.100q", errMalformed, object)
	}
	name := v.pending[key]
	delete(v.pending, key)
	v.pending[j.ID] = name
	v.p.follow(j.Spec.Image)
	v.last[name] = j.said()
	if j.is(v.until) {
		return v.met(j.ID, strings.TrimSuffix(v.until+" ("+j.Status.Trouble()+")", " ()"))
	}
	if reason := j.hopeless(v.until); reason != "" {
		return &hopelessError{failing{Reason: reason, ExitCode: j.Status.ExitCode}, name, fmt.Sprintf("%s is %s, so it will not be %s", name, j.said(), v.until)}
	}
	return nil
}

// met says that one is as it is to be; with the last one, all has been seen.
func (v *vigil) met(id, what string) error {
	name := v.pending[id]
	delete(v.pending, id)
	v.p.seen(name)
	if err := v.p.aside(func() error { return v.app.say("%s is %s", name, what) }); err != nil {
		return err
	}
	if len(v.pending) == 0 {
		return errSeen
	}
	return nil
}

func (v *vigil) hear(e Event) error {
	switch e.Name {
	case api.EventsDropped:
		return errAnew
	case api.ContainerChanged:
		return v.changed(e)
	}
	return v.p.hear(e)
}

func (v *vigil) changed(e Event) error {
	var body struct {
		Type      string          `json:"type"`
		Container json.RawMessage `json:"container"`
	}
	var j judged
	if json.Unmarshal(e.Data, &body) != nil || json.Unmarshal(body.Container, &j) != nil {
		return fmt.Errorf("%w: %s %.100q", errMalformed, e.Name, e.Data)
	}
	name, ok := v.pending[j.ID]
	switch {
	case !ok:
		return nil
	case body.Type != "deleted":
		return v.judge(j.ID, body.Container)
	case v.until == "deleted":
		return v.met(j.ID, "deleted")
	}
	return fmt.Errorf("%s was deleted, so it will not be %s", name, v.until)
}
