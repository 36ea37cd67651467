package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

	from      time.Time // what since is; then, where to go on after a lost connection
	requestID string    // of this session

	told   map[string]told // in this session, by stream
	shown  map[string]told // in all of them
	before map[string]told // in those before it
}

// told is how much was told of a stream: the line of a time, or so many bytes of it where it goes on.
type told struct {
	at    time.Time
	bytes int
	part  bool
}

func (a *app) logsCommand() *cobra.Command {
	o := output{app: a, shown: map[string]told{}}
	cmd := &cobra.Command{
		Use:   "logs NAME|ID [-f] [--tail N] [--since 10m] [--timestamps]",
		Short: "Show what a container wrote",
		Long: `Show what a container wrote: its stdout on stdout, its stderr on stderr. With --follow it goes on over restarts of the container,
lost connections and restarts of the manager. A line of more than 64 KiB comes in parts. What would do something to a terminal is shown escaped; as JSON each line is an
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
	o.requestID, o.told, o.before = rand.Text(), map[string]told{}, maps.Clone(o.shown)
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
	Partial     bool     `json:"partial"`
	EOF         bool     `json:"eof"`
}

func (o *output) passOn(e Event) error {
	var w written
	if err := json.Unmarshal(e.Data, &w); err != nil {
		return fmt.Errorf("%w: %s %.100q", errMalformed, e.Name, e.Data)
	}
	for i, line := range w.Lines {
		part := w.Partial && i == len(w.Lines)-1
		if text, fresh := o.note(w.Stream, line, part); fresh {
			if err := o.app.printWritten(&w, text, part); err != nil {
				return err
			}
		}
	}
	if w.EOF {
		return errSeen
	}
	return nil
}

// note takes note of when a line was written, and takes that off where only we wanted to know. What was shown before the connection was
// lost is not fresh; of a line of which a part was shown, the rest is.
func (o *output) note(stream, line string, part bool) (text string, fresh bool) {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if !o.follow || err != nil {
		return line, true
	}
	now := o.told[stream]
	begins := !now.part || !now.at.Equal(at)
	if begins {
		now = told{at: at}
	}
	from := now.bytes
	now.bytes, now.part = now.bytes+len(text), part
	o.told[stream] = now
	before := o.before[stream]
	switch {
	case at.Before(before.at), at.Equal(before.at) && (!before.part || now.bytes <= before.bytes && part):
		return "", false
	case at.Equal(before.at):
		text = text[min(len(text), max(0, before.bytes-from)):]
	case o.timestamps && begins:
		text = line
	}
	o.shown[stream], o.tail = now, -1
	o.from = o.resume()
	return text, true
}

// resume is the time behind the newest line, or that of a line of which the rest is to come.
func (o *output) resume() time.Time {
	var from time.Time
	for _, s := range o.shown {
		if next := s.at.Add(1); next.After(from) { // a nanosecond later
			from = next
		}
	}
	for _, s := range o.shown {
		if s.part && s.at.Before(from) {
			from = s.at
		}
	}
	return from
}

// printWritten shows a line, or a part of one, which on a terminal is not followed by a newline.
func (a *app) printWritten(w *written, line string, part bool) error {
	if a.output != "table" {
		shown := map[string]any{"container_id": w.ContainerID, "stream": w.Stream, "line": strings.TrimRight(line, "\r\n")}
		if part {
			shown["partial"] = true
		}
		object, err := encode(shown)
		if err != nil {
			return err
		}
		return a.printNext(object)
	}
	to, end := a.stdout, "\n"
	if w.Stream == "stderr" {
		to = a.stderr
	}
	if part {
		end = ""
	}
	if _, err := io.WriteString(to, printableLine(strings.TrimRight(line, "\r\n"))+end); err != nil {
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
