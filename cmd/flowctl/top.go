package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/flow-manager/flow-manager/api"
)

// askAtOnce bounds the requests under way.
const askAtOnce = 16

func (a *app) topCommand() *cobra.Command {
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:        "top [NAME|ID...] [--watch]",
		SuggestFor: []string{"stats"},
		Short:      "Show what containers consume, all that run where none is named",
		Example:    "  flowctl top --watch",
		RunE: func(cmd *cobra.Command, names []string) error {
			if every <= 0 {
				return usagef("--interval must be more than 0")
			}
			if a.endless = watch; watch {
				return a.watch(cmd.Context(), a.topAgain(names, every))
			}
			return a.top(cmd.Context(), names)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show it again and again")
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how long between two looks of --watch")
	return a.completeNames(cmd, 0)
}

func (a *app) top(ctx context.Context, names []string) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	answers, err := a.usages(ctx, c, names)
	if err != nil {
		return err
	}
	if a.output != "table" {
		return a.printObjects(answers, true)
	}
	return a.printUsages(answers)
}

// topAgain shows it over what was there before on a terminal, and below that elsewhere.
func (a *app) topAgain(names []string, every time.Duration) watching {
	return func(ctx context.Context, c *Client) error {
		for {
			answers, err := a.usages(ctx, c, names)
			if err == nil {
				err = a.printRound(answers)
			}
			if err != nil {
				return err
			}
			if err := sleep(ctx, every); err != nil {
				return err
			}
		}
	}
}

func (a *app) printRound(answers []json.RawMessage) error {
	if a.output != "table" {
		for _, answer := range answers {
			if err := a.printNext(answer); err != nil {
				return err
			}
		}
		return nil
	}
	if terminalWidth(a.stdout) > 0 {
		if err := a.write([]byte("\x1b[H\x1b[2J")); err != nil {
			return err
		}
	}
	return a.printUsages(answers)
}

// usages asks for the status of each container; one that is gone meanwhile is an error only where it was named.
func (a *app) usages(ctx context.Context, c *Client, names []string) ([]json.RawMessage, error) {
	named := len(names) > 0
	if !named {
		running, err := a.list(ctx, c, listing{states: []string{api.StateRunning, api.StatePaused}})
		if err != nil {
			return nil, err
		}
		for _, item := range running.items {
			names = append(names, item.ID)
		}
	}
	answers := make([]json.RawMessage, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, name := range names {
		group.Go(func() (err error) {
			answers[i], err = a.status(ctx, c, name)
			if !named && refusedAs(err, api.ContainerNotFound) {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(answers, func(answer json.RawMessage) bool { return answer == nil }), err
}

func (a *app) printUsages(answers []json.RawMessage) error {
	t := &table{header: []string{"NAME", "STATE", "CPU", "MEMORY", "LIMIT", "MEM", "NET IN/OUT", "DISK READ/WRITTEN", "PROCESSES"}}
	for _, answer := range answers {
		var s status
		if err := json.Unmarshal(answer, &s); err != nil {
			return fmt.Errorf("read the status: %w", err)
		}
		a.noteUnknown(s.Conditions)
		u := s.Usage
		if u == nil {
			u = &api.Usage{}
		}
		t.add(s.Name, s.State, percent(u.CPUPercent), size(u.MemoryUsage), size(u.MemoryLimit), percent(u.MemoryPercent),
			size(u.NetworkRxBytes)+" / "+size(u.NetworkTxBytes), size(u.DiskReadBytes)+" / "+size(u.DiskWriteBytes), strconv.FormatUint(u.Pids, 10))
	}
	return a.write(t.text())
}

func percent(p float64) string { return fmt.Sprintf("%.1f%%", p) }
