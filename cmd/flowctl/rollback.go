package main

import (
	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

func (a *app) rollbackCommand() *cobra.Command {
	var generation int64
	var cmd *cobra.Command
	cmd = a.declaring(&cobra.Command{
		Use:        "rollback NAME|ID... [--to-generation N] [--wait]",
		SuggestFor: []string{"undo", "rollout"},
		Short:      "Declare again what was declared before",
		Long: `Declare again what was declared before: that generation, or the one that runs where a later one does not, or the newest whose
container was another one. Whether it runs stays as it is. A generation that is not kept is refused with those that are.`,
		Example: "  flowctl rollback hello --wait",
	}, "they are as before", api.RollbackContainer, api.ContainerUpdated, func() (map[string]any, error) {
		if !cmd.Flags().Changed("to-generation") {
			return nil, nil
		}
		if generation < 1 {
			return nil, usagef("--to-generation must be 1 or more, not %d", generation)
		}
		return map[string]any{"to_generation": generation}, nil
	})
	cmd.Flags().Int64Var(&generation, "to-generation", 0, "the `generation` to go back to")
	return cmd
}
