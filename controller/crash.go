package controller

import (
	"context"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

const (
	crashLines = 50
	crashBytes = 16 << 10
	// crashTimeout bounds the search for a crash's last lines: a restart must not wait for them.
	crashTimeout = 2 * time.Second
)

// redactor knows the secrets of whatever container stands for a record.
func (k *Controller) redactor(r *store.Record) api.Redactor {
	return api.NewRedactor(k.Store.Environments(r)...)
}

// lastLines are missing where the engine does not give them in time; the crash is told all the same.
func (k *Controller) lastLines(ctx context.Context, r *store.Record, c *plan.Container) []string {
	ctx, cancel := context.WithTimeout(ctx, crashTimeout)
	defer cancel()
	lines, err := k.Runtime.LastLines(ctx, c.DockerID, crashLines, crashBytes)
	if err != nil {
		k.logFor(r).Warn().Err(err).Str("operation", "logs").Msg("the last lines before the crash cannot be read")
		return []string{}
	}
	if len(lines) == 0 {
		return []string{}
	}
	// Masked as one text: a secret may have several lines.
	return strings.Split(k.redactor(r).Text(strings.Join(lines, "\n")), "\n")
}
