package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// status is what is shown of a container's status.
type status struct {
	ID            string     `json:"container_id"`
	Name          string     `json:"name"`
	State         string     `json:"state"`
	Health        string     `json:"health"`
	Uptime        string     `json:"uptime"`
	Connected     bool       `json:"socket_connected"`
	Communication string     `json:"last_communication"`
	Restarts      int        `json:"restart_count"`
	NextRestart   string     `json:"next_restart_at"`
	Usage         *api.Usage `json:"resource_usage"`
	Conditions    []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status NAME|ID",
		Short:   "Show a container's state, health, conditions and usage",
		Example: "  flowctl status hello",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    a.status,
	}
}

func (a *app) status(cmd *cobra.Command, names []string) error {
	c, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer c.Close()
	var answer json.RawMessage
	if err := a.ask(cmd.Context(), c, api.GetContainerStatus, map[string]any{"container_id": names[0]}, &answer); err != nil {
		return err
	}
	if a.output != "table" {
		return a.printObjects([]json.RawMessage{answer}, false)
	}
	var s status
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	return a.write(s.table().text())
}

func (s *status) table() *table {
	t := &table{}
	t.add("Name", s.Name)
	t.add("ID", s.ID)
	t.add("State", s.State)
	t.add("Health", s.Health)
	t.add("Uptime", s.Uptime)
	t.add("Restarts", strconv.Itoa(s.Restarts))
	t.add("Next restart", s.NextRestart)
	t.add("Socket connected", strconv.FormatBool(s.Connected))
	t.add("Last communication", s.Communication)
	for _, c := range s.Conditions {
		t.add(c.Type, strings.TrimSpace(c.Status+" "+c.Reason+" "+c.Message))
	}
	if s.Usage != nil {
		addUsage(t, s.Usage)
	}
	return t
}

func addUsage(t *table, u *api.Usage) {
	size := func(n uint64) string { return units.BytesSize(float64(n)) }
	t.add("CPU", fmt.Sprintf("%.1f%%", u.CPUPercent))
	t.add("Memory", fmt.Sprintf("%s of %s (%.1f%%)", size(u.MemoryUsage), size(u.MemoryLimit), u.MemoryPercent))
	t.add("Network", fmt.Sprintf("%s in, %s out", size(u.NetworkRxBytes), size(u.NetworkTxBytes)))
	t.add("Disk", fmt.Sprintf("%s read, %s written", size(u.DiskReadBytes), size(u.DiskWriteBytes)))
	t.add("Processes", strconv.FormatUint(u.Pids, 10))
}
