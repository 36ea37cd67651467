package main

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Keep servers and tokens under names",
		Long: `Keep servers, tokens and authorities under names, in flowctl/config.yaml below $XDG_CONFIG_HOME (~/.config).

A flag wins over the environment, and that over the context in use; --context NAME wins over the environment, too. A context's
token goes to its own server alone. The file must be yours alone (mode 0600) where it holds tokens.`,
		Example: `  flowctl context set prod --server https://flows.example.org:8000 --token - <token
  flowctl context use prod
  flowctl get --context prod`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(a.listContextsCommand(), a.setContextCommand(), a.useContextCommand(), a.deleteContextCommand())
	return cmd
}

// contextNames are for completion, where an error says nothing.
func (a *app) contextNames() []string {
	kept, err := readContexts()
	if err != nil {
		return nil
	}
	return kept.names()
}

func (a *app) listContextsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the contexts; * is the one in use",
		Example: "  flowctl context list",
		Args:    arguments(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.listContexts() },
	}
}

// shownContext is a context as it is listed: whether it has a token, but not which.
type shownContext struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Server  string `json:"server"`
	Token   bool   `json:"token"`
	CA      string `json:"tls_ca,omitempty"`
}

func (a *app) listContexts() error {
	kept, err := readContexts()
	if err != nil {
		return err
	}
	t := &table{header: []string{"", "NAME", "SERVER", "TOKEN", "TLS-CA"}}
	var objects []json.RawMessage
	for _, name := range kept.names() {
		c := kept.Contexts[name]
		mark, token := " ", "no"
		if name == kept.Current {
			mark = "*"
		}
		if c.Token != "" {
			token = "yes"
		}
		t.add(mark, name, c.Server, token, c.CA)
		object, err := encode(shownContext{name, name == kept.Current, c.Server, c.Token != "", c.CA})
		if err != nil {
			return err
		}
		objects = append(objects, object)
	}
	if a.output == "table" {
		return a.write(t.text())
	}
	return a.printObjects(objects, true)
}

func (a *app) setContextCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME [--server URL] [--token TOKEN|-] [--tls-ca FILE]",
		Short: "Make a context, or change what is given of one",
		Long: `Make a context, or change what is given of one; an empty value takes it away. The first one made is in use at once. With
--token - the token is read from stdin, so that it stands in no history.`,
		Example: "  flowctl context set prod --server https://flows.example.org:8000 --token - <token",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    a.setContext,
	}
}

func (a *app) setContext(cmd *cobra.Command, names []string) error {
	name := names[0]
	if err := checkContextName(name); err != nil {
		return err
	}
	kept, err := readContexts()
	if err != nil {
		return err
	}
	changed, err := a.changed(cmd, kept.Contexts[name])
	if err != nil {
		return err
	}
	if len(kept.Contexts) == 0 {
		kept.Current = name
	}
	kept.Contexts[name] = changed
	if err := kept.write(); err != nil {
		return err
	}
	if kept.Current == name {
		return a.say("context %s set; it is in use", name)
	}
	return a.say("context %s set; use it: flowctl context use %[1]s", name)
}

// changed is t with what the flags say, an empty value included.
func (a *app) changed(cmd *cobra.Command, t target) (target, error) {
	flags := cmd.Flags()
	if flags.Changed("server") {
		t.Server = a.given.Server
	}
	if flags.Changed("tls-ca") {
		ca, err := absolute(a.given.CA)
		if err != nil {
			return t, err
		}
		t.CA = ca
	}
	if flags.Changed("token") {
		t.Token = a.given.Token
	}
	if t.Token == "-" {
		text, err := readAll(cmd.Context(), a.stdin, maxContexts)
		if err != nil {
			return t, err
		}
		t.Token = strings.TrimSpace(string(text))
	}
	if t.Server == "" {
		return t, usagef("a context needs a server: give --server URL")
	}
	_, err := parseServer(t.Server)
	return t, err
}

// absolute is a path that is the same wherever flowctl runs next; none stays none.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

func (a *app) useContextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "use NAME",
		Short:   "Use a context from now on",
		Example: "  flowctl context use prod",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			return a.changeContext(names[0], "in use", func(kept *contexts) { kept.Current = names[0] })
		},
	}
	a.completeContext(cmd)
	return cmd
}

func (a *app) deleteContextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Forget a context, with its token",
		Example: "  flowctl context delete prod",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			return a.changeContext(names[0], "deleted", func(kept *contexts) {
				delete(kept.Contexts, names[0])
				if kept.Current == names[0] {
					kept.Current = ""
				}
			})
		},
	}
	a.completeContext(cmd)
	return cmd
}

// changeContext changes the contexts about one that there is.
func (a *app) changeContext(name, done string, change func(*contexts)) error {
	kept, err := readContexts()
	if err != nil {
		return err
	}
	if _, ok := kept.Contexts[name]; !ok {
		return kept.unknown(name)
	}
	change(kept)
	if err := kept.write(); err != nil {
		return err
	}
	return a.say("context %s %s", name, done)
}
