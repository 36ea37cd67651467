package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/flow-manager/flow-manager/api"
)

const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitTimeout     = 3
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process the hard way
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it gives the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		if !a.endless {
			fmt.Fprintln(stderr, "error: interrupted")
		}
		return exitInterrupted
	}
	report(stderr, err, a.secrets())
	return exitCode(err)
}

// secrets are what may not be shown of our own.
func (a *app) secrets() api.Redactor {
	return api.NewRedactor(map[string]string{"token": cmp.Or(a.at.Token, a.given.Token)})
}

// report writes one line an error, and below it one for each bad field where there are several, or how a container has failed. What the server told is
// masked already, so that only what an error of our own may quote is left: our token, or a URL with a password.
func report(w io.Writer, err error, secrets api.Redactor) {
	for _, err := range each(err) {
		text := oneLine(err.Error())
		if !refused(err) {
			text = secrets.Certain(text)
		}
		fmt.Fprintln(w, "error: "+api.Printable(text))
		f, _ := errors.AsType[*Failure](err)
		if fields := f.fields(); len(fields) > 1 {
			reportFields(w, fields)
		}
		reportFailing(w, failingOf(err))
	}
}

func reportFields(w io.Writer, fields []api.FieldError) {
	for _, f := range fields {
		fmt.Fprintln(w, "  "+api.Printable(f.Field+": "+oneLine(f.Message)))
	}
}

func reportFailing(w io.Writer, f failing) {
	if f.Reason != "" {
		fmt.Fprintln(w, "  reason: "+api.Printable(oneLine(f.Reason)))
	}
	if f.ExitCode != nil {
		fmt.Fprintf(w, "  exit code: %d\n", *f.ExitCode)
	}
	if len(f.Logs) > 0 {
		fmt.Fprintln(w, "  last lines:")
	}
	for _, line := range f.Logs {
		fmt.Fprintln(w, "    "+api.Printable(line))
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
