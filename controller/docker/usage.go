package docker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"github.com/flow-manager/flow-manager/api"
)

// Usage implements controller.Runtime. The engine takes two samples a second apart, so that a CPU share can be told.
func (r *Runtime) Usage(ctx context.Context, dockerID string) (api.Usage, error) {
	answer, err := r.client.ContainerStats(ctx, dockerID, false)
	if err != nil {
		return api.Usage{}, classed(err)
	}
	var s container.StatsResponse
	err = json.NewDecoder(answer.Body).Decode(&s)
	if closeErr := answer.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return api.Usage{}, fmt.Errorf("read stats: %w", err)
	}
	return usage(&s), nil
}

func usage(s *container.StatsResponse) api.Usage {
	u := api.Usage{
		CPUPercent: cpuPercent(s), MemoryUsage: memory(&s.MemoryStats), MemoryLimit: s.MemoryStats.Limit,
		Pids: s.PidsStats.Current, Timestamp: s.Read.UTC(),
	}
	if u.MemoryLimit > 0 {
		u.MemoryPercent = 100 * float64(u.MemoryUsage) / float64(u.MemoryLimit)
	}
	for _, n := range s.Networks {
		u.NetworkRxBytes += n.RxBytes
		u.NetworkTxBytes += n.TxBytes
	}
	for _, b := range s.BlkioStats.IoServiceBytesRecursive {
		switch b.Op {
		case "Read", "read":
			u.DiskReadBytes += b.Value
		case "Write", "write":
			u.DiskWriteBytes += b.Value
		}
	}
	return u
}

func cpuPercent(s *container.StatsResponse) float64 {
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	passed := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	if used <= 0 || passed <= 0 {
		return 0
	}
	cpus := float64(s.CPUStats.OnlineCPUs)
	if cpus == 0 {
		cpus = float64(len(s.CPUStats.CPUUsage.PercpuUsage))
	}
	return 100 * used / passed * cpus
}

// memory leaves out what the kernel would give back at once, as `docker stats` does.
func memory(m *container.MemoryStats) uint64 {
	for _, key := range []string{"total_inactive_file", "inactive_file"} {
		if cache := m.Stats[key]; cache > 0 && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}
