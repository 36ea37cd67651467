package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

const recentActivity = 20 // entries that a description has

func (a *app) describeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "describe NAME|ID...",
		SuggestFor: []string{"inspect", "show"},
		Short:      "Show all there is to know of containers, for people",
		Long:       "Show all there is to know of containers, for people: what is declared, how it stands, what is next and why, how it failed last and its last lines, what was done of late.",
		Example:    "  flowctl describe hello",
		Args:       arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachName(cmd.Context(), names, a.describe, describePage)
		},
	}
	return a.completeNames(cmd, 0)
}

// description is a container, what is next, and what was done of late.
type description struct {
	Container   json.RawMessage `json:"container"`
	Explanation *outlook        `json:"explanation"`                   // null where the server does not tell
	Unexplained string          `json:"explanation_missing,omitempty"` // why it does not
	Activity    json.RawMessage `json:"activity"`
	Missing     string          `json:"activity_missing,omitempty"` // why there is no activity
}

// outlook is what an explanation has beside the container itself.
type outlook struct {
	NextAction    string            `json:"next_action"`
	Why           string            `json:"why"`
	NextLookAt    *time.Time        `json:"next_look_at"`
	RecentActions []api.LastAction  `json:"recent_actions"`
	LastExit      *api.Ending       `json:"last_exit"`
	FailedUpdate  *api.FailedUpdate `json:"failed_update"`
}

func (a *app) describe(ctx context.Context, c *Client, name string) (json.RawMessage, error) {
	object, err := a.object(ctx, c, name)
	if err != nil {
		return nil, err
	}
	d := description{Container: object, Activity: json.RawMessage("[]")}
	var history struct {
		Entries json.RawMessage `json:"entries"`
	}
	var found struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(object, &found); err != nil {
		return nil, fmt.Errorf("read the container: %w", err)
	}
	err = a.ask(ctx, c, api.ExplainContainer, map[string]any{"container_id": found.ID}, &d.Explanation)
	switch {
	case refused(err):
		d.Explanation, d.Unexplained = nil, err.Error() // the engine is away: the rest is worth showing
	case err != nil:
		return nil, err
	}
	err = a.ask(ctx, c, api.GetActivity, map[string]any{"container_id": found.ID, "limit": recentActivity}, &history)
	switch {
	case refused(err):
		d.Missing = err.Error() // the rest is worth showing
	case err != nil:
		return nil, err
	case len(history.Entries) > 0:
		d.Activity = history.Entries
	}
	return encode(d)
}

// described is what a page shows of a container beside its spec.
type described struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels"`
	Created    time.Time         `json:"created_at"`
	By         string            `json:"created_by"`
	Deleted    *time.Time        `json:"deleted_at"`
	Generation int64             `json:"generation"`
	Spec       json.RawMessage   `json:"spec"`
	Status     struct {
		api.Status
		Ports         map[string]publishing `json:"ports"`
		Uptime        string                `json:"uptime"`
		Connected     bool                  `json:"socket_connected"`
		Communication *time.Time            `json:"last_communication"`
	} `json:"status"`
}

// entry is one of the activity.
type entry struct {
	Type    string    `json:"activity_type"`
	Message string    `json:"message"`
	At      time.Time `json:"timestamp"`
}

func describePage(body json.RawMessage, now time.Time) ([]byte, error) {
	var d description
	var c described
	var activity []entry
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	if err := errors.Join(json.Unmarshal(d.Container, &c), json.Unmarshal(d.Activity, &activity)); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	spec, err := yamlText(c.Spec)
	if err != nil {
		return nil, err
	}
	return slices.Concat(c.facts(now).text(), section("Spec", spec), section("Conditions", conditionTable(c.Status.Conditions, now).text()),
		d.Explanation.text(d.Unexplained, now), section("Activity", activityText(activity, d.Missing, now))), nil
}

// text is what is next and how runs have ended, or why that is not told.
func (o *outlook) text(missing string, now time.Time) []byte {
	if o == nil && missing == "" {
		return nil
	}
	if o == nil {
		return section("Next", []byte(api.Printable("not told: "+oneLine(missing))+"\n"))
	}
	t := &table{}
	t.fact("Action:", o.NextAction)
	t.fact("Why:", hints.Replace(o.Why))
	t.time("Look:", o.NextLookAt, now)
	return slices.Concat(section("Next", t.text()), endings(o.LastExit, o.FailedUpdate), section("Recent actions", actionTable(o.RecentActions, now)))
}

// facts are one a line, and only those that there are.
func (c *described) facts(now time.Time) *table {
	s := &c.Status
	t := &table{}
	t.add("Name:", c.Name)
	t.add("ID:", c.ID)
	t.fact("Labels:", pairs(c.Labels))
	t.add("Created:", strings.TrimSuffix(ago(c.Created, now)+" by "+c.By, " by "))
	t.time("Being deleted:", c.Deleted, now)
	t.add("Generation:", c.generations())
	t.add("State:", s.State)
	t.fact("Health:", s.Health)
	t.fact("Uptime:", s.Uptime)
	t.time("Started:", s.StartedAt, now)
	t.time("Finished:", s.FinishedAt, now)
	t.fact("Exit code:", c.exit())
	t.add("Restarts:", fmt.Sprintf("%d, %d in a row", s.RestartCount, s.CrashStreak))
	t.time("Next restart:", s.NextRestartAt, now)
	t.fact("Docker ID:", s.DockerID)
	t.fact("Image ID:", s.ImageID)
	t.fact("Image digest:", s.ImageDigest)
	t.fact("Code revision:", s.CodeRevision)
	t.fact("Ports:", portList(s.Ports))
	t.fact("Socket:", s.SocketPath)
	t.add("Connected:", strconv.FormatBool(s.Connected))
	t.time("Last communication:", s.Communication, now)
	if e := s.LastError; e != nil {
		t.add("Last error:", fmt.Sprintf("%s: %s (%s)", ago(e.At, now), hints.Replace(e.Message), e.ErrorType))
	}
	if l := s.LastAction; l != nil {
		t.add("Last action:", ago(l.At, now)+": "+actionText(l))
	}
	return t
}

func (c *described) generations() string {
	return fmt.Sprintf("%d declared, %d observed, %d running", c.Generation, c.Status.ObservedGeneration, c.Status.RunningGeneration)
}

// exit is that of a container that has ended.
func (c *described) exit() string {
	if c.Status.ExitCode == nil {
		return ""
	}
	return exitText(*c.Status.ExitCode, c.Status.OOMKilled)
}

func exitText(code int, outOfMemory bool) string {
	if outOfMemory {
		return strconv.Itoa(code) + ", out of memory"
	}
	return strconv.Itoa(code)
}

func pairs(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return strings.Join(list, ",")
}

func conditionTable(conditions []api.Condition, now time.Time) *table {
	t := &table{header: []string{"TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"}}
	for _, c := range conditions {
		t.add(c.Type, c.Status, age(now.Sub(c.LastTransitionAt)), c.Reason, hints.Replace(c.Message))
	}
	return t
}

// activityText has the newest last, as a log.
func activityText(entries []entry, missing string, now time.Time) []byte {
	if missing != "" {
		return []byte(api.Printable("not told: "+oneLine(missing)) + "\n")
	}
	t := &table{header: []string{"AGE", "TYPE", "MESSAGE"}}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.At.Compare(b.At) })
	for _, e := range entries {
		t.add(age(now.Sub(e.At)), e.Type, e.Message)
	}
	return t.text()
}
