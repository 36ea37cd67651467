package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// completionTime is how long a shell may be held up.
const completionTime = 2 * time.Second

// completeNames has a command's arguments completed with the names of the server's containers, as many as it takes; where
// the server does not tell, with nothing.
func (a *app) completeNames(cmd *cobra.Command, most int) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(before) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.containerNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (a *app) containerNames(ctx context.Context) []string {
	if a.checkFlags() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		return nil
	}
	defer c.Close()
	page, err := a.list(ctx, c, listing{})
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(page.items))
	for _, item := range page.items {
		names = append(names, api.Printable(item.Name))
	}
	return names
}

func (a *app) completeContext(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(_ *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(before) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.contextNames(), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag has a flag's value completed from a list.
func (a *app) completeFlag(cmd *cobra.Command, flag string, values func() []string) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag
	}
}
