package servertest

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Parts plays the parts behind the handlers: Messenger, Stats, Logs, Engine, Policy and Planner in one. Its policy knows one
// forbidden image, its flows answer at once, and its containers have written two lines. The zero value is ready.
type Parts struct {
	// Away is why the engine does not answer, nil while it does. It is set while no request is handled.
	Away error

	mu   sync.Mutex
	sent []string
	shut bool

	samples atomic.Int64
}

// Forbid has the policy allow nothing more.
func (p *Parts) Forbid() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
}

// Messages are those that were sent to flows, in order.
func (p *Parts) Messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// Samples is how many samples of consumption were drawn.
func (p *Parts) Samples() int64 { return p.samples.Load() }

// Path implements server.Messenger, as do Facts and Queue.
func (p *Parts) Path(id string) string { return "/run/x/" + id + ".sock" }

func (p *Parts) Facts(string) (bool, time.Time) { return true, time.Unix(1, 0) }

// Queue answers by what is in the message: refused, lost, late (when ctx ends), bug (what panics in whoever looks at it).
func (p *Parts) Queue(ctx context.Context, _ string, message json.RawMessage, _ time.Duration, expectReply bool, done func(json.RawMessage, error)) error {
	p.mu.Lock()
	p.sent = append(p.sent, string(message))
	p.mu.Unlock()
	switch {
	case strings.Contains(string(message), "refused"):
		return api.Errorf(api.RateLimitError, "too many wait")
	case strings.Contains(string(message), "bug"):
		done(nil, (*api.Error)(nil))
	case strings.Contains(string(message), "lost"):
		done(nil, api.Errorf(api.SocketConnectionError, "nobody is there"))
	case strings.Contains(string(message), "late"):
		context.AfterFunc(ctx, func() { done(nil, api.Errorf(api.SocketTimeoutError, "nobody answered in time")) })
	case expectReply:
		done(json.RawMessage(`{"reply_to":"x"}`), nil)
	default:
		done(nil, nil)
	}
	return nil
}

// Usage implements server.Stats, as does Sample.
func (p *Parts) Usage(context.Context, *api.Container) api.Usage { return api.Usage{Pids: 7} }

func (p *Parts) Sample(context.Context, *api.Container) api.Usage {
	p.samples.Add(1)
	return api.Usage{Pids: 7}
}

// Output implements server.Logs: one line of each stream, and with Follow it waits.
func (p *Parts) Output(ctx context.Context, _ string, o api.LogOptions, each func(api.LogLine) error) error {
	for _, stream := range []string{api.Stdout, api.Stderr} {
		if err := each(api.LogLine{Stream: stream, At: time.Now(), Text: "hello"}); err != nil {
			return err
		}
	}
	if o.Follow {
		<-ctx.Done()
	}
	return nil
}

// Keep implements server.Logs.
func (p *Parts) Keep(string) (release func()) { return func() {} }

// EngineKnown implements server.Engine.
func (p *Parts) EngineKnown() error { return p.Away }

// Effect implements server.Planner, as does Explain.
func (p *Parts) Effect(_ context.Context, _ *store.Record, exists bool) (api.Effect, error) {
	return api.Effect{Effect: map[bool]string{true: api.EffectRecreate, false: api.EffectCreate}[exists], Lost: []string{}}, p.Away
}

func (p *Parts) Explain(_ context.Context, r *store.Record) (api.Explanation, error) {
	e := api.Explanation{ContainerID: r.ID, Name: r.Name, Observed: r.Status, NextAction: "none", Why: "it is as declared",
		Differences: []api.Difference{}, RecentActions: []api.LastAction{}}
	if t := r.Tracking.Trials; len(t) > 0 {
		e.FailedUpdate = &api.FailedUpdate{Reason: api.ReasonUpdateFailed, Ending: api.Ending{Message: t[0].Failed, Logs: []string{"boom"}}}
	}
	e.Declared.Generation, e.Declared.Spec = r.Generation, r.Spec
	return e, p.Away
}

// Admit implements server.Policy, as does AdmitPorts.
func (p *Parts) Admit(_ context.Context, _ string, s *api.Spec, _ bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Image == "forbidden" || p.shut {
		return api.Errorf(api.PolicyError, "not this one")
	}
	return nil
}

// AdmitPorts lets a host port be one container's.
func (p *Parts) AdmitPorts(s *api.Spec, others iter.Seq[*store.Record]) error {
	for r := range others {
		for _, held := range r.Spec.Ports {
			for _, wanted := range s.Ports {
				if held == wanted {
					return api.Errorf(api.ConflictError, "port %d is %s's", wanted.Port, r.Name)
				}
			}
		}
	}
	return nil
}
