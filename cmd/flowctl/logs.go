package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// output is what to show of what a container wrote.
type output struct {
	app        *app
	of         string
	follow     bool
	timestamps bool
	since      string
	tail       int // negative: all

	from      time.Time // what since is; then, behind the last line that was shown
	requestID string    // of this session
}

func (a *app) logsCommand() *cobra.Command {
	o := output{app: a}
	cmd := &cobra.Command{
		Use:   "logs NAME|ID [-f] [--tail N] [--since 10m] [--timestamps]",
		Short: "Show what a container wrote",
		Long: `Show what a container wrote: its stdout on stdout, its stderr on stderr. With --follow it goes on over restarts of the container,
lost connections and restarts of the manager. What would do something to a terminal is shown escaped; as JSON each line is an
object that loses nothing.`,
		Example: "  flowctl logs hello -f --tail 100",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			o.of, a.endless = names[0], o.follow
			if cmd.Flags().Changed("tail") && o.tail < 0 {
				return usagef("--tail must not be negative; leave it out for all lines")
			}
			if err := o.parseSince(time.Now()); err != nil {
				return err
			}
			return o.show(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what it writes")
	flags.IntVarP(&o.tail, "tail", "n", -1, "only so many of the last `lines` (default all)")
	flags.StringVar(&o.since, "since", "", "only what is younger than a `duration` like 10m, or than a time like 2026-01-02T15:04:05Z")
	flags.BoolVarP(&o.timestamps, "timestamps", "t", false, "say when each line was written")
	return a.completeNames(cmd, 1)
}

func (o *output) parseSince(now time.Time) (err error) {
	if o.since != "" {
		o.from, err = parseSince(o.since, now)
	}
	return err
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("--since must be a duration like 10m or a time like 2026-01-02T15:04:05Z, not %q", text)
	}
	return t, nil
}

// show ends with the container's output, or when there is no more of it yet and nobody wants to wait. Who follows goes on where the
// connection is lost.
func (o *output) show(ctx context.Context) error {
	session := hearing(o.begin, o.hear)
	if o.follow {
		return o.app.watch(ctx, session)
	}
	_, err := o.app.attend(ctx, session)
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}

// begin asks for what has not been shown. What comes before the acknowledgement is of nothing else: the session asks for no other
// output.
func (o *output) begin(ctx context.Context, c *Client) error {
	var answer json.RawMessage
	return o.app.ask(ctx, c, api.GetLogs, o.request(), &answer)
}

// request has times told to who follows, to know where to go on.
func (o *output) request() map[string]any {
	o.requestID = rand.Text()
	request := map[string]any{"container_id": o.of, "request_id": o.requestID, "follow": o.follow, "timestamps": o.timestamps || o.follow}
	if o.tail >= 0 {
		request["tail"] = o.tail
	}
	if !o.from.IsZero() {
		request["since"] = o.from.UTC().Format(time.RFC3339Nano)
	}
	return request
}

// hear passes on lines, until the last or what went wrong.
func (o *output) hear(e Event) error {
	switch e.Name {
	case api.ErrorEvent:
		if f := failureOf(e.Data); f.RequestID == o.requestID {
			return f
		}
	case api.ContainerLogs:
		return o.passOn(e)
	}
	return nil
}

// written is a part of a container's output.
type written struct {
	ContainerID string   `json:"container_id"`
	Stream      string   `json:"stream"`
	Lines       []string `json:"lines"`
	EOF         bool     `json:"eof"`
}

func (o *output) passOn(e Event) error {
	var w written
	if err := json.Unmarshal(e.Data, &w); err != nil {
		return fmt.Errorf("%w: %s %.100q", errMalformed, e.Name, e.Data)
	}
	for _, line := range w.Lines {
		if err := o.app.printWritten(&w, strings.TrimRight(o.note(line), "\r\n")); err != nil {
			return err
		}
	}
	if w.EOF {
		return errSeen
	}
	return nil
}

// note takes note of when a line was written, and takes that off where only we wanted to know.
func (o *output) note(line string) string {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if !o.follow || err != nil {
		return line
	}
	o.from, o.tail = at.Add(1), -1 // a nanosecond later
	if o.timestamps {
		return line
	}
	return text
}

func (a *app) printWritten(w *written, line string) error {
	if a.output != "table" {
		object, err := encode(map[string]string{"container_id": w.ContainerID, "stream": w.Stream, "line": line})
		if err != nil {
			return err
		}
		return a.printNext(object)
	}
	to := a.stdout
	if w.Stream == "stderr" {
		to = a.stderr
	}
	if _, err := io.WriteString(to, printableLine(line)+"\n"); err != nil {
		return fmt.Errorf("write the container's %s: %w", w.Stream, err)
	}
	return nil
}

// printableLine leaves tabs, which do nothing but make room.
func printableLine(line string) string {
	cells := strings.Split(line, "\t")
	for i := range cells {
		cells[i] = api.Printable(cells[i])
	}
	return strings.Join(cells, "\t")
}
