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
	// maskedBytes are read beside those that are told: where a line is cut, no half of a secret may be left.
	maskedBytes = 64 << 10
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
	lines, err := k.Runtime.LastLines(ctx, c.DockerID, crashLines, crashBytes+maskedBytes)
	if err != nil {
		k.logFor(r).Warn().Err(err).Str("operation", "logs").Msg("the last lines before the crash cannot be read")
		return []string{}
	}
	if len(lines) == 0 {
		return []string{}
	}
	// Masked as one text: a secret may have several lines.
	return lastBytes(k.redactor(r).Text(strings.Join(lines, "\n")), crashBytes)
}

// lastBytes are the last lines of a text, as many as are whole; of one that is longer, its end.
func lastBytes(text string, most int) []string {
	if len(text) <= most {
		return strings.Split(text, "\n")
	}
	cut := text[len(text)-most:]
	if _, whole, found := strings.Cut(text[len(text)-most-1:], "\n"); found {
		cut = whole
	}
	return strings.Split(strings.ToValidUTF8(cut, ""), "\n")
}
