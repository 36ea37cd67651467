package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain NAME|ID...",
		Short:   "Say what will be done next about containers, and why",
		Example: "  flowctl explain hello",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachName(cmd.Context(), names, a.explain, explainPage)
		},
	}
	return a.completeNames(cmd, 0)
}

func (a *app) explain(ctx context.Context, c *Client, name string) (json.RawMessage, error) {
	var answer json.RawMessage
	err := a.ask(ctx, c, api.ExplainContainer, map[string]any{"container_id": name}, &answer)
	return answer, err
}

func explainPage(body json.RawMessage, now time.Time) ([]byte, error) {
	var e api.Explanation
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("read the explanation: %w", err)
	}
	s := &e.Observed
	t := &table{}
	t.add("Name:", e.Name)
	t.add("ID:", e.ContainerID)
	t.add("Declared:", fmt.Sprintf("%s, generation %d", e.Declared.Spec.DesiredState, e.Declared.Generation))
	t.add("Observed:", fmt.Sprintf("%s, generation %d; made from generation %d", s.State, s.ObservedGeneration, s.RunningGeneration))
	t.add("Differences:", differences(e.Differences))
	t.add("Next action:", e.NextAction)
	t.add("Why:", hints.Replace(e.Why))
	t.time("Next look:", e.NextLookAt, now)
	return slices.Concat(t.text(), endings(e.LastExit, e.FailedUpdate), section("Recent actions", actionTable(e.RecentActions, now))), nil
}

// endings tell how what is declared has failed, and how the newest run ended.
func endings(last *api.Ending, failed *api.FailedUpdate) []byte {
	var text []byte
	if failed != nil {
		text = append(text, section("Failed update", endingText(failed.Reason, &failed.Ending))...)
	}
	if last != nil {
		text = append(text, section("Last exit", endingText("", last))...)
	}
	return text
}

func endingText(reason string, e *api.Ending) []byte {
	t := &table{}
	t.fact("Reason:", reason)
	t.fact("Message:", hints.Replace(e.Message))
	if e.ExitCode != nil {
		t.add("Exit code:", exitText(*e.ExitCode, e.OOMKilled))
	}
	if len(e.Logs) == 0 {
		return t.text()
	}
	t.add("Last lines:")
	lines := t.text()
	for _, line := range e.Logs {
		lines = append(lines, "  "+api.Printable(line)+"\n"...)
	}
	return lines
}

func actionTable(actions []api.LastAction, now time.Time) []byte {
	if len(actions) == 0 {
		return nil
	}
	t := &table{header: []string{"AGE", "ACTION", "CAUSE", "DETAIL"}}
	for i := range actions {
		t.add(age(now.Sub(actions[i].At)), actions[i].Action, actions[i].Cause, actions[i].Detail)
	}
	return t.text()
}

// actionText is an action on one line.
func actionText(l *api.LastAction) string {
	return strings.TrimSuffix(fmt.Sprintf("%s for %s: %s", l.Action, l.Cause, l.Detail), ": ")
}
