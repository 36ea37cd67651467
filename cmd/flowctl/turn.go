package main

import (
	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// The commands that ask for another state, and for nothing else.

func (a *app) startCommand() *cobra.Command {
	return a.declaring(&cobra.Command{
		Use:     "start NAME|ID... [--wait]",
		Short:   "Declare containers running",
		Long:    "Declare containers running: stopped ones start, paused ones go on, and one that was given up is tried again.",
		Example: "  flowctl start hello --wait",
	}, "they run", api.StartContainer, api.ContainerStarted, simply)
}

func (a *app) stopCommand() *cobra.Command {
	return a.declaring(&cobra.Command{
		Use:     "stop NAME|ID... [--wait]",
		Short:   "Declare containers stopped",
		Long:    "Declare containers stopped: they stay so, whatever happens, until they are started.",
		Example: "  flowctl stop hello other --wait",
	}, "they have stopped", api.StopContainer, api.ContainerStopped, simply)
}

func (a *app) restartCommand() *cobra.Command {
	return a.declaring(&cobra.Command{
		Use:     "restart NAME|ID... [--wait]",
		Short:   "Ask for another run of containers",
		Long:    "Ask for another run of containers, in the same Docker containers; stopped ones start.",
		Example: "  flowctl restart hello --wait",
	}, "they run again", api.RestartContainer, api.ContainerRestart, simply)
}

func (a *app) pauseCommand() *cobra.Command {
	return a.declaring(&cobra.Command{
		Use:     "pause NAME|ID... [--wait]",
		Short:   "Declare running containers paused",
		Long:    "Declare running containers paused: their processes stand still, with all their memory.",
		Example: "  flowctl pause hello --wait",
	}, "they are paused", api.PauseContainer, api.ContainerPaused, simply)
}

func (a *app) unpauseCommand() *cobra.Command {
	return a.declaring(&cobra.Command{
		Use:     "unpause NAME|ID... [--wait]",
		Short:   "Let paused containers go on",
		Example: "  flowctl unpause hello --wait",
	}, "they go on", api.UnpauseContainer, api.ContainerUnpaused, simply)
}
