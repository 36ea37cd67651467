package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
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
	server  string
	token   string
	tlsCA   string
	output  string
	timeout time.Duration
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowctl",
		Short: "Declare, list and talk to the containers that a flow-manager keeps",
		Long: `flowctl declares, lists and talks to the containers that a flow-manager keeps.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 time-out.`,
		Example: `  flowctl apply -f hello.yaml --wait
  flowctl get
  flowctl send hello '{"type":"hello-there"}' --reply`,
		Args:              unknownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.checkFlags() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see: %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.server, "server", "", "`URL` of the flow-manager, or unix:///path ($FLOWCTL_SERVER, else "+defaultServer+")")
	flags.StringVar(&a.token, "token", "", "token to log in with, where the server wants one ($FLOWCTL_TOKEN)")
	flags.StringVar(&a.tlsCA, "tls-ca", "", "PEM `file` of the authorities that an https server's certificate may come from ($FLOWCTL_TLS_CA, else the system's)")
	flags.StringVarP(&a.output, "output", "o", "table", "`format` of what is printed: table, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 0, "how long to wait for the connection and for each answer (0: 30s)")
	root.AddCommand(a.applyCommand(), a.getCommand(), a.statusCommand(), a.startCommand(), a.stopCommand(),
		a.deleteCommand(), a.sendCommand(), a.versionCommand())
	return root
}

// checkFlags takes from the environment what was not given, and looks at the rest before anything is sent.
func (a *app) checkFlags() error {
	if a.server == "" {
		a.server = os.Getenv("FLOWCTL_SERVER")
	}
	if a.server == "" {
		a.server = defaultServer
	}
	if a.token == "" {
		a.token = os.Getenv("FLOWCTL_TOKEN")
	}
	if a.tlsCA == "" {
		a.tlsCA = os.Getenv("FLOWCTL_TLS_CA")
	}
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
	hint := "see: flowctl --help"
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

func (a *app) connect(ctx context.Context) (*Client, error) {
	ctx, cancel := within(ctx, a.timeout, fmt.Sprintf("no connection to %s", a.server))
	defer cancel()
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	return Dial(ctx, a.server, a.token, roots)
}

// roots are the authorities of --tls-ca, in the place of the system's.
func (a *app) roots() (*x509.CertPool, error) {
	if a.tlsCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(a.tlsCA)
	if err != nil {
		return nil, usagef("--tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usagef("--tls-ca %s holds no certificate in PEM form", a.tlsCA)
	}
	return roots, nil
}

// ask sends a request and reads its answer into the value that into points to.
func (a *app) ask(ctx context.Context, c *Client, event string, payload, into any) error {
	return a.askWithin(ctx, a.timeout, c, event, payload, into)
}

func (a *app) askWithin(ctx context.Context, limit time.Duration, c *Client, event string, payload, into any) error {
	ctx, cancel := within(ctx, limit, fmt.Sprintf("no answer to %s from %s", event, a.server))
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
	return context.WithTimeoutCause(ctx, limit, &timeoutError{missed, limit})
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
