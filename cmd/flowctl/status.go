package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// status is what is shown of a container's status.
type status struct {
	ID            string          `json:"container_id"`
	Name          string          `json:"name"`
	State         string          `json:"state"`
	Health        string          `json:"health"`
	Uptime        string          `json:"uptime"`
	Connected     bool            `json:"socket_connected"`
	Communication string          `json:"last_communication"`
	Restarts      int             `json:"restart_count"`
	NextRestart   string          `json:"next_restart_at"`
	Usage         *api.Usage      `json:"resource_usage"`
	Conditions    []api.Condition `json:"conditions"`
}

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status NAME|ID...",
		Short:   "Show containers' state, health, conditions and usage",
		Example: "  flowctl status hello",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachName(cmd.Context(), names, a.status, statusPage)
		},
	}
	return a.completeNames(cmd, 0)
}

func (a *app) status(ctx context.Context, c *Client, name string) (json.RawMessage, error) {
	var answer json.RawMessage
	err := a.ask(ctx, c, api.GetContainerStatus, map[string]any{"container_id": name}, &answer)
	return answer, err
}

func statusPage(body json.RawMessage, _ time.Time) ([]byte, error) {
	var s status
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	return s.table().text(), nil
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

func size(n uint64) string { return units.BytesSize(float64(n)) }

func addUsage(t *table, u *api.Usage) {
	t.add("CPU", fmt.Sprintf("%.1f%%", u.CPUPercent))
	t.add("Memory", fmt.Sprintf("%s of %s (%.1f%%)", size(u.MemoryUsage), size(u.MemoryLimit), u.MemoryPercent))
	t.add("Network", fmt.Sprintf("%s in, %s out", size(u.NetworkRxBytes), size(u.NetworkTxBytes)))
	t.add("Disk", fmt.Sprintf("%s read, %s written", size(u.DiskReadBytes), size(u.DiskWriteBytes)))
	t.add("Processes", strconv.FormatUint(u.Pids, 10))
}
