package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print flowctl's version",
		Example: "  flowctl version -o json",
		Args:    arguments(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	if a.output == "table" {
		return a.say("flowctl %s %s", version, runtime.Version())
	}
	object, err := encode(map[string]string{"version": version, "go": runtime.Version()})
	if err != nil {
		return fmt.Errorf("print the version: %w", err)
	}
	return a.printObjects([]json.RawMessage{object}, false)
}
