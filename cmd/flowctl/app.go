package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultServer  = "http://127.0.0.1:8000"
	defaultTimeout = 30 * time.Second
)

// app is one run: its streams and the flags that every command has.
type app struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	given   target // by flags
	context string
	at      target // what holds; set by the first connect
	output  string
	timeout time.Duration
	endless bool // an interrupt is how it ends
	shown   *progress
	outage  string // that was told last
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowctl",
		Short: "Declare, list and talk to the containers that a flow-manager keeps",
		Long: `flowctl declares, lists and talks to the containers that a flow-manager keeps.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 time-out, 130 interrupted.`,
		Example: `  flowctl apply -f hello.yaml --wait
  flowctl get --watch
  flowctl send hello '{"type":"hello-there"}' --reply`,
		Args:              unknownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.checkFlags() },
		SilenceErrors:     true,
		SilenceUsage:      true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
			return unknownCommand(cmd, words)
		}
		return usagef("%w; see: %s --help", err, cmd.CommandPath())
	})
	a.addFlags(root)
	root.AddCommand(a.applyCommand(), a.updateCommand(), a.rollbackCommand(), a.deleteCommand(),
		a.startCommand(), a.stopCommand(), a.restartCommand(), a.pauseCommand(), a.unpauseCommand(), a.waitCommand(),
		a.getCommand(), a.describeCommand(), a.statusCommand(), a.explainCommand(), a.topCommand(), a.logsCommand(), a.eventsCommand(),
		a.sendCommand(), a.contextCommand(), a.tokenCommand(), a.versionCommand())
	return root
}

func (a *app) addFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.given.Server, "server", "", "`URL` of the flow-manager, or unix:///path ($FLOWCTL_SERVER, else the context's, else "+defaultServer+")")
	flags.StringVar(&a.given.Token, "token", "", "token to log in with, where the server wants one ($FLOWCTL_TOKEN, else the context's)")
	flags.StringVar(&a.given.CA, "tls-ca", "", "PEM `file` of the authorities that an https server's certificate may come from ($FLOWCTL_TLS_CA, else the context's, else the system's)")
	flags.StringVar(&a.context, "context", "", "`name` of the context to take server, token and authorities from (default the one in use; see: flowctl context)")
	flags.StringVarP(&a.output, "output", "o", "table", "`format` of what is printed: table, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 0, "how long to wait for the connection and for each answer (0: 30s)")
	a.completeFlag(root, "context", a.contextNames)
	a.completeFlag(root, "output", func() []string { return []string{"table", "json", "yaml"} })
}

func (a *app) checkFlags() error {
	if a.timeout == 0 {
		a.timeout = defaultTimeout
	}
	if a.timeout < 0 {
		return usagef("--timeout must not be negative")
	}
	if !slices.Contains([]string{"table", "json", "yaml"}, a.output) {
		return usagef("--output must be table, json or yaml, not %q", a.output)
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("see: %s --help", cmd.CommandPath())
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return usagef("there is no command %q; %s", args[0], hint)
}

// arguments makes the error of a check a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// ask sends a request and reads its answer into the value that into points to.
func (a *app) ask(ctx context.Context, c *Client, event string, payload, into any) error {
	return a.askWithin(ctx, a.timeout, c, event, payload, into)
}

func (a *app) askWithin(ctx context.Context, limit time.Duration, c *Client, event string, payload, into any) error {
	ctx, cancel := within(ctx, limit, fmt.Sprintf("no answer to %s from %s", event, a.at.Server))
	defer cancel()
	body, err := c.Request(ctx, event, payload)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", event, err)
	}
	return nil
}

// within ends ctx after limit, and says then what has not come.
func within(ctx context.Context, limit time.Duration, missed string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, &timeoutError{missed: missed, after: limit})
}

// readAll reads r to its end, or until ctx ends: a read from a terminal cannot be interrupted, so its goroutine is left
// to the end of the process, which is near.
func readAll(ctx context.Context, r io.Reader, limit int64) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(r, limit+1))
		done <- result{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-done:
		if got.err == nil && int64(len(got.data)) > limit {
			return nil, fmt.Errorf("more than %d bytes", limit)
		}
		return got.data, got.err
	}
}
