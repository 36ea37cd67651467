package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// newsreel shows events as they come, and after a lost connection from where it was.
type newsreel struct {
	app     *app
	ids     []string
	labels  map[string]string
	types   []string
	version string // up to which all was shown
	since   string // in the words of the flag
	from    time.Time
	shows   bool // the session is narrowed
	resumes bool // it is not the first one

	names   map[string]string // by id, as far as they were told
	columns columns
}

func (a *app) eventsCommand() *cobra.Command {
	n := &newsreel{app: a, names: map[string]string{}}
	cmd := &cobra.Command{
		Use:   "events [NAME|ID...] [-l KEY=VALUE] [--type TYPE] [--since 10m] [--since-version VERSION]",
		Short: "Show what happens, as it happens",
		Long: `Show what happens, as it happens, of all containers or of those that are named or labelled. Events have a resource version where
they can be told again: --since-version begins behind one, and so does flowctl by itself when it has lost the connection. As JSON
each event is a line, with its name and its data. container_changed and container_status_update are for those who ask for them.`,
		Example: `  flowctl events hello --type status_changed,container_crashed
  flowctl events -l team=blue -o json`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			n.ids, a.endless = ids, true
			if n.since != "" {
				var err error
				if n.from, err = parseSince(n.since, time.Now()); err != nil {
					return err
				}
				if n.version != "" {
					return usagef("give --since or --since-version, not both")
				}
			}
			return a.watch(cmd.Context(), hearing(n.begin, n.hear))
		},
	}
	flags := cmd.Flags()
	flags.StringToStringVarP(&n.labels, "label", "l", nil, "only of containers that have the label `key=value`; may be given again")
	flags.StringSliceVar(&n.types, "type", nil, "only events of this `type`; may be given again")
	flags.StringVar(&n.since, "since", "", "all that is kept of what is younger than a `duration` like 10m, or than a time like 2026-01-02T15:04:05Z, first")
	flags.StringVar(&n.version, "since-version", "", "all that is kept behind this resource `version` first")
	a.completeFlag(cmd, "type", api.WatchableEvents)
	return a.completeNames(cmd, 0)
}

func (n *newsreel) begin(ctx context.Context, c *Client) error {
	n.shows = false
	err := n.subscribe(ctx, c)
	if refusedAs(err, api.ResourceExpiredError) {
		if !n.resumes {
			return fmt.Errorf("the server does not keep what follows --since-version %s: leave it out, or give a newer one (%s)", n.version, api.ResourceExpiredError)
		}
		n.app.note("some events were missed: the server does not keep them any more")
		n.version = ""
		err = n.subscribe(ctx, c)
	}
	n.resumes = n.resumes || err == nil
	return err
}

func (n *newsreel) subscribe(ctx context.Context, c *Client) error {
	request := map[string]any{}
	if len(n.ids) > 0 {
		request["container_ids"] = n.ids
	}
	if len(n.labels) > 0 {
		request["labels"] = n.labels
	}
	if len(n.types) > 0 {
		request["events"] = n.types
	}
	switch {
	case n.version != "":
		request["resource_version"] = n.version
	case !n.from.IsZero() && !n.resumes:
		request["since"] = n.from.UTC().Format(time.RFC3339Nano)
	}
	version, err := n.app.subscribe(ctx, c, request)
	n.shows = err == nil
	if n.version == "" {
		n.version = version
	}
	return err
}

// hear shows what comes behind the acknowledgement, which is what was asked for.
func (n *newsreel) hear(e Event) error {
	if !n.shows || e.Name == api.Subscribed {
		return nil
	}
	n.told(e)
	if e.Name == api.ContainerChanged && len(n.types) == 0 {
		return nil // other events say what is news in it
	}
	if n.app.output == "table" {
		return n.line(e)
	}
	object, err := encode(struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{e.Name, e.Data})
	if err != nil {
		return err
	}
	return n.app.printNext(object)
}

func (n *newsreel) told(e Event) {
	if version := versionOf(e.Data); version != "" {
		n.version = version
	}
}

// news is what a line may tell of an event.
type news struct {
	At        time.Time `json:"timestamp"`
	ID        string    `json:"container_id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Activity  string    `json:"activity_type"`
	Old       string    `json:"old_state"`
	New       string    `json:"new_state"`
	Reason    string    `json:"reason"`
	ExitCode  int       `json:"exit_code"`
	Health    string    `json:"health"`
	Output    string    `json:"output"`
	Container struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Generation int64  `json:"generation"`
		Status     struct {
			State string `json:"state"`
		} `json:"status"`
	} `json:"container"`
	Message json.RawMessage `json:"message"`
	api.PullProgress
}

func (n *newsreel) line(e Event) error {
	var body news
	if err := json.Unmarshal(e.Data, &body); err != nil && !isTypeError(err) { // a member of another type is not shown
		return fmt.Errorf("%w: %s %.100q", errMalformed, e.Name, e.Data)
	}
	if body.ID == "" {
		body.ID, body.Name = body.Container.ID, body.Container.Name
	}
	if body.ID != "" && body.Name != "" {
		n.names[body.ID] = body.Name
	}
	who := n.names[body.ID]
	if who == "" {
		who = body.ID
	}
	return n.app.write(n.columns.text([]string{moment(body.At), e.Name, who, oneLine(body.text(e))}))
}

func isTypeError(err error) bool {
	_, ok := errors.AsType[*json.UnmarshalTypeError](err)
	return ok
}

func (b *news) text(e Event) string {
	switch e.Name {
	case api.StatusChanged:
		return strings.TrimSuffix(fmt.Sprintf("%s -> %s (%s)", b.Old, b.New, b.Reason), " ()")
	case api.ContainerChanged:
		return fmt.Sprintf("%s: %s, generation %d", b.Type, b.Container.Status.State, b.Container.Generation)
	case api.ContainerCrashed:
		return fmt.Sprintf("ended with exit code %d", b.ExitCode)
	case api.HealthWarned:
		return b.Health + ": " + b.Output
	case api.ActivityLog:
		return b.Activity + ": " + text(b.Message)
	case api.ContainerStatusUpdate:
		return usageText(e)
	case api.ImagePullProgress:
		return strings.Join(strings.Fields(b.Image+" "+b.Layer+" "+b.PullProgress.Status), " ")
	}
	if len(b.Message) > 0 {
		return text(b.Message)
	}
	return string(e.Data)
}

// usageText is what a container is and consumes, in short.
func usageText(e Event) string {
	var update struct {
		Status status `json:"status"`
	}
	if json.Unmarshal(e.Data, &update) != nil || update.Status.Usage == nil {
		return string(e.Data)
	}
	u := update.Status.Usage
	return fmt.Sprintf("%s, CPU %s, memory %s", update.Status.State, percent(u.CPUPercent), size(u.MemoryUsage))
}

// text is a message of ours, which is a string, or a flow's, which is an object.
func text(message json.RawMessage) string {
	var said string
	if json.Unmarshal(message, &said) != nil {
		return string(message)
	}
	return said
}
