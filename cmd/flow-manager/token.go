package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/auth"
)

// takesEffect ends what a change of the file prints.
const takesEffect = "A running manager follows when it gets SIGHUP."

func tokenCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Makes, lists and revokes the tokens that clients log in with",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&path, "auth-file", "", "file of the tokens (default "+envPrefix+"AUTH_FILE)")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if path = cmp.Or(path, os.Getenv(envPrefix+"AUTH_FILE")); path == "" {
			return usageError{errors.New("which file? say --auth-file, or set " + envPrefix + "AUTH_FILE")}
		}
		return nil
	}
	cmd.AddCommand(createTokenCommand(&path), listTokensCommand(&path), revokeTokenCommand(&path))
	return cmd
}

func createTokenCommand(path *string) *cobra.Command {
	var role string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Makes a token and prints it, this once",
		Long: `Makes a token for the principal NAME and prints it on standard output, this once: the file keeps only its SHA-256.

A viewer lists and looks, but sees no environment, command, message or output; an operator also declares, talks to flows and
reads their output; an admin may do everything. Several tokens may have one name: make the new one before you revoke the old.`,
		Example: "  flow-manager token create ci --role operator --auth-file /etc/flow-manager/tokens.json",
		Args:    arguments(cobra.ExactArgs(1), "NAME, who the token is for"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lifetime < 0 {
				return usageError{fmt.Errorf("--expires-in %s is in the past", lifetime)}
			}
			token, made, err := auth.Create(*path, args[0], api.Role(role), lifetime)
			if err != nil {
				return tokenError(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			fmt.Fprintf(cmd.ErrOrStderr(), "Token %s of %s, %s, expires %s. It is not shown again. %s\n", made.ID, made.Name, made.Role, expiry(&made), takesEffect)
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	cmd.Flags().DurationVar(&lifetime, "expires-in", 0, "how long it counts, such as 720h (default for ever)")
	return cmd
}

func listTokensCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Lists the tokens, without what is secret of them",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			entries, err := auth.Read(*path)
			if err != nil {
				return tokenError(err)
			}
			return printTokens(cmd.OutOrStdout(), entries)
		},
	}
}

func printTokens(w io.Writer, entries []auth.Entry) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tROLE\tCREATED\tEXPIRES")
	for i := range entries {
		e := &entries[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.ID, e.Name, e.Role, e.CreatedAt.Format(time.RFC3339), expiry(e))
	}
	return table.Flush()
}

func expiry(e *auth.Entry) string {
	switch {
	case e.ExpiresAt == nil:
		return "never"
	case e.Expired(time.Now()):
		return "expired"
	}
	return e.ExpiresAt.Format(time.RFC3339)
}

func revokeTokenCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID...",
		Short: "Takes tokens out of the file",
		Args:  arguments(cobra.MinimumNArgs(1), "IDs, as flow-manager token list shows them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := auth.Revoke(*path, args...); err != nil {
				return tokenError(err)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Revoked.", takesEffect)
			return nil
		},
	}
}

// tokenError is wrong usage, unless it was the disk.
func tokenError(err error) error {
	if errors.Is(err, auth.ErrNotWritten) {
		return err
	}
	return usageError{err}
}

// arguments says what is wanted where check finds another number.
func arguments(check cobra.PositionalArgs, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil {
			return usageError{fmt.Errorf("%s takes %s; it got %q", cmd.CommandPath(), what, args)}
		}
		return nil
	}
}
