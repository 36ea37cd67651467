package main

import (
	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

func (a *app) deleteCommand() *cobra.Command {
	var volumes, force bool
	cmd := a.declaring(&cobra.Command{
		Use:        "delete NAME|ID... [--remove-volumes] [--wait]",
		SuggestFor: []string{"rm", "remove"},
		Short:      "Delete containers",
		Long: `Delete containers, with their sockets and anonymous volumes. Named volumes stay, unless --remove-volumes takes those that were
made for them and that nobody else mounts. --force drops what is declared while the engine is away; it takes an admin.`,
		Example: "  flowctl delete hello --wait",
	}, "they are gone", api.DeleteContainer, api.ContainerDeleted, func() (map[string]any, error) {
		members := map[string]any{}
		if volumes {
			members["remove_volumes"] = true
		}
		if force {
			members["force"] = true
		}
		return members, nil
	})
	cmd.Flags().BoolVar(&volumes, "remove-volumes", false, "take their named volumes with them")
	cmd.Flags().BoolVar(&force, "force", false, "do not wait for an engine that is away (admin)")
	return cmd
}
