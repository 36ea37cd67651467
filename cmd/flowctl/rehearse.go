package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/flow-manager/flow-manager/api"
)

// rehearsal is what an order would come to.
type rehearsal struct {
	Changed bool             `json:"changed"`
	Effect  string           `json:"effect"`
	Lost    []string         `json:"lost"`
	Why     []api.Difference `json:"why"`
}

// rehearse asks what the orders would come to, each by itself, and declares nothing.
func (a *app) rehearse(ctx context.Context, c *Client, orders []order) error {
	var answers []json.RawMessage
	failures := eachOrder(orders, func(o order) error {
		o.body["dry_run"] = true
		var answer json.RawMessage
		if err := a.ask(ctx, c, o.event, o.body, &answer); err != nil {
			return err
		}
		answers = append(answers, answer)
		var r rehearsal
		if err := json.Unmarshal(answer, &r); err != nil {
			return fmt.Errorf("read the answer to %s: %w", o.event, err)
		}
		return a.say("%s would %s (dry run)", o.name, r.says())
	})
	if a.output != "table" && len(answers) > 0 {
		if err := a.printObjects(answers, len(orders) > 1); err != nil {
			failures = append(failures, err)
		}
	}
	return failures.orNil()
}

// says is one line: what would become of it, for which fields, and what would be lost.
func (r *rehearsal) says() string {
	said := map[string]string{
		api.EffectNone: "change without being touched", api.EffectInPlace: "change in place", api.EffectRestart: "be restarted",
		api.EffectRecreate: "be made anew", api.EffectCreate: "be created", api.EffectDelete: "be deleted",
	}
	line := cmp.Or(said[r.Effect], r.Effect)
	if !r.Changed {
		line = "stay as it is"
	}
	if len(r.Why) > 0 {
		line += " for " + differences(r.Why)
	}
	if len(r.Lost) > 0 {
		line += ", and lose " + strings.Join(r.Lost, " and ")
	}
	return line
}

// differences are fields with what each costs.
func differences(list []api.Difference) string {
	fields := make([]string, 0, len(list))
	for _, d := range list {
		fields = append(fields, fmt.Sprintf("%s (%s)", d.Field, d.Cost))
	}
	return strings.Join(fields, ", ")
}
