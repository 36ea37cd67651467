package controller

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

const namespace = "flow_manager"

// metrics count what the loop does. No label names a container, an image or an address: their number has no bound.
type metrics struct {
	reconciles *prometheus.HistogramVec
	calls      *prometheus.HistogramVec
	events     prometheus.Counter
	resyncs    prometheus.Counter
	converged  prometheus.Histogram
	restarted  prometheus.Histogram
}

func newMetrics() *metrics {
	seconds := prometheus.ExponentialBuckets(0.001, 2.5, 14) // 1 ms to about 150 s
	return &metrics{
		reconciles: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "reconcile_duration_seconds",
			Help: "How long one turn on one container took, by its result.", Buckets: seconds}, []string{"result"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "engine_call_duration_seconds",
			Help: "How long a call of the engine took, by its kind and the class of its error.", Buckets: seconds}, []string{"kind", "class"}),
		events:  prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "engine_events_total", Help: "Events of the engine seen."}),
		resyncs: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "resyncs_total", Help: "Times that the engine was listed whole."}),
		converged: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "declared_to_converged_seconds",
			Help: "From a declaration to its result being observed.", Buckets: seconds}),
		restarted: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "exit_to_running_seconds",
			Help: "From an exit that nobody asked for to the next run.", Buckets: seconds}),
	}
}

// Register makes the controller's metrics part of a registry.
func (k *Controller) Register(r prometheus.Registerer) error {
	m := k.metrics
	var errs []error
	for _, c := range []prometheus.Collector{m.reconciles, m.calls, m.events, m.resyncs, m.converged, m.restarted, states{k},
		gauge("queue_depth", "Containers that wait for a worker.", func() float64 { return float64(k.queue.Len()) }),
		gauge("queue_oldest_seconds", "How long the container that waits longest has waited for a worker; 0 where none waits.", func() float64 { return k.agedQueue.age().Seconds() }),
		gauge("foreign_containers", "Containers that bear our labels or hold a name of ours, and are not ours.", k.foreign),
		gauge("loop_idle_seconds", "Time since the loop last took something from its queue.", func() float64 { return k.sinceProgress().Seconds() }),
		gauge("engine_known", "1 while the engine is listed and its events are read.", func() float64 {
			if k.observer.ready() {
				return 1
			}
			return 0
		}),
	} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, f)
}

// foreign counts what is left alone: what bears our labels without being ours, and what holds a declared name.
func (k *Controller) foreign() float64 {
	n := 0
	for _, o := range k.observer.all() {
		r, live := k.Store.Get(o.ID)
		stone, dead := k.Store.Tombstone(o.ID)
		if !(live && r.Owns(o.Token, o.DockerID, o.Name)) && !(dead && stone.Owns(o.Token, o.DockerID, o.Name)) {
			n++
		}
	}
	records, _ := k.Store.List()
	for _, r := range records {
		if f := r.Tracks.Name.Failure; f != nil && f.Reason == api.ReasonNameConflict {
			n++
		}
	}
	return float64(n)
}

// states counts containers by state when it is asked.
type states struct{ k *Controller }

var containersDesc = prometheus.NewDesc(namespace+"_containers", "Declared containers, by observed state.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (s states) Describe(ch chan<- *prometheus.Desc) { ch <- containersDesc }

// Collect implements prometheus.Collector.
func (s states) Collect(ch chan<- prometheus.Metric) {
	count := map[string]int{}
	for _, state := range []string{api.StateCreated, api.StateRunning, api.StateStopped, api.StatePaused, api.StateRestarting, api.StateRemoving, api.StateExited, api.StateDead} {
		count[state] = 0
	}
	records, _ := s.k.Store.List()
	for _, r := range records {
		count[r.Status.State]++
	}
	for state, n := range count {
		ch <- prometheus.MustNewConstMetric(containersDesc, prometheus.GaugeValue, float64(n), state)
	}
}

// unclassed is the class of the engine's errors of its own.
const unclassed = "engine"

// class is an error's class as a label.
func class(err error) string {
	for class, name := range map[error]string{ErrAbsent: "absent", ErrConflict: "conflict", ErrInvalid: "invalid", ErrUnavailable: "unavailable", ErrUnauthorized: "unauthorized"} {
		if errors.Is(err, class) {
			return name
		}
	}
	if err != nil {
		return unclassed
	}
	return "none"
}

// counted is a Runtime whose calls are counted, and charged to the record that has caused them.
type counted struct {
	Runtime
	calls *prometheus.HistogramVec
	rates *rates
}

func (c counted) count(ctx context.Context, kind string, began time.Time, err error) {
	c.rates.charge(ctx)
	c.calls.WithLabelValues(kind, class(err)).Observe(time.Since(began).Seconds())
}

func (c counted) Engine(ctx context.Context) (id string, err error) {
	defer func(began time.Time) { c.count(ctx, "info", began, err) }(time.Now())
	return c.Runtime.Engine(ctx)
}

func (c counted) List(ctx context.Context) (list []plan.Container, err error) {
	defer func(began time.Time) { c.count(ctx, "list", began, err) }(time.Now())
	return c.Runtime.List(ctx)
}

func (c counted) Inspect(ctx context.Context, ref string) (o plan.Container, err error) {
	defer func(began time.Time) { c.count(ctx, "inspect", began, err) }(time.Now())
	return c.Runtime.Inspect(ctx, ref)
}

func (c counted) Create(ctx context.Context, t Template) (id string, err error) {
	defer func(began time.Time) { c.count(ctx, "create", began, err) }(time.Now())
	return c.Runtime.Create(ctx, t)
}

func (c counted) Start(ctx context.Context, id string) (err error) {
	defer func(began time.Time) { c.count(ctx, "start", began, err) }(time.Now())
	return c.Runtime.Start(ctx, id)
}

func (c counted) Kill(ctx context.Context, id, signal string) (err error) {
	defer func(began time.Time) { c.count(ctx, "kill", began, err) }(time.Now())
	return c.Runtime.Kill(ctx, id, signal)
}

func (c counted) Pause(ctx context.Context, id string) (err error) {
	defer func(began time.Time) { c.count(ctx, "pause", began, err) }(time.Now())
	return c.Runtime.Pause(ctx, id)
}

func (c counted) Unpause(ctx context.Context, id string) (err error) {
	defer func(began time.Time) { c.count(ctx, "unpause", began, err) }(time.Now())
	return c.Runtime.Unpause(ctx, id)
}

func (c counted) Rename(ctx context.Context, id, name string) (err error) {
	defer func(began time.Time) { c.count(ctx, "rename", began, err) }(time.Now())
	return c.Runtime.Rename(ctx, id, name)
}

func (c counted) Limit(ctx context.Context, id string, r api.Resources) (err error) {
	defer func(began time.Time) { c.count(ctx, "limit", began, err) }(time.Now())
	return c.Runtime.Limit(ctx, id, r)
}

func (c counted) Remove(ctx context.Context, id string) (err error) {
	defer func(began time.Time) { c.count(ctx, "remove", began, err) }(time.Now())
	return c.Runtime.Remove(ctx, id)
}

func (c counted) Connect(ctx context.Context, id, network, alias string) (err error) {
	defer func(began time.Time) { c.count(ctx, "connect", began, err) }(time.Now())
	return c.Runtime.Connect(ctx, id, network, alias)
}

func (c counted) Replay(ctx context.Context, since time.Time) (r Replay, err error) {
	defer func(began time.Time) { c.count(ctx, "replay", began, err) }(time.Now())
	return c.Runtime.Replay(ctx, since)
}

func (c counted) NetworkName(ctx context.Context, ref string) (name string, err error) {
	defer func(began time.Time) { c.count(ctx, "network", began, err) }(time.Now())
	return c.Runtime.NetworkName(ctx, ref)
}

func (c counted) VolumeInstance(ctx context.Context, name string) (instance string, err error) {
	defer func(began time.Time) { c.count(ctx, "volume", began, err) }(time.Now())
	return c.Runtime.VolumeInstance(ctx, name)
}

func (c counted) RemoveVolume(ctx context.Context, name, instance string) (err error) {
	defer func(began time.Time) { c.count(ctx, "remove_volume", began, err) }(time.Now())
	return c.Runtime.RemoveVolume(ctx, name, instance)
}

func (c counted) LastLines(ctx context.Context, id string, lines, bytes int) (last []string, err error) {
	defer func(began time.Time) { c.count(ctx, "logs", began, err) }(time.Now())
	return c.Runtime.LastLines(ctx, id, lines, bytes)
}

func (c counted) Image(ctx context.Context, ref string) (i Image, err error) {
	defer func(began time.Time) { c.count(ctx, "image", began, err) }(time.Now())
	return c.Runtime.Image(ctx, ref)
}

func (c counted) Pull(ctx context.Context, ref string, progress func(api.PullProgress)) (err error) {
	defer func(began time.Time) { c.count(ctx, "pull", began, err) }(time.Now())
	return c.Runtime.Pull(ctx, ref, progress)
}

func (c counted) RemoveCarried(ctx context.Context, name string) (err error) {
	defer func(began time.Time) { c.count(ctx, "remove_volume", began, err) }(time.Now())
	return c.Runtime.RemoveCarried(ctx, name)
}

func (c counted) Usage(ctx context.Context, id string) (u api.Usage, err error) {
	defer func(began time.Time) { c.count(ctx, "stats", began, err) }(time.Now())
	return c.Runtime.Usage(ctx, id)
}
