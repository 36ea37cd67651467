package main

import "github.com/spf13/cobra"

func (a *app) tokenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "token",
		Short: "Say how tokens are made and used",
		Long: `Tokens are made on the host of the manager, by whoever may write its auth file; no client can make one:

  flow-manager token create ci --role operator --auth-file /etc/flow-manager/tokens.json

prints a token, this once. A viewer lists and looks; an operator also declares, and talks to flows; an admin may do everything.
The manager must serve with the same --auth-file; one that runs reads it again on SIGHUP. Then log in with the token by

  flowctl context set prod --server https://flows.example.org:8000 --token - <token    kept, in a file of mode 0600
  FLOWCTL_TOKEN=fm_... flowctl get                                                     for a script
  flowctl get --token fm_...                                                           where nobody else sees the command line

flow-manager token list shows what there is, flow-manager token revoke ID takes one away.`,
		Example: "  flowctl token",
		Args:    arguments(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}
