package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/auth"
	"github.com/flow-manager/flow-manager/api/server"
	"github.com/flow-manager/flow-manager/api/socketio"
	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/code"
	"github.com/flow-manager/flow-manager/controller/docker"
	"github.com/flow-manager/flow-manager/sockets"
	"github.com/flow-manager/flow-manager/store"
)

// shutdownTimeout is what running requests and engine calls get to finish.
const shutdownTimeout = 10 * time.Second

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Runs the manager until SIGTERM; containers keep running",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := readSettings(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), s)
		},
	}
	addFlags(cmd.Flags())
	return cmd
}

// uptime is how long the host has run, sleep included. It does not fail with the clock that Linux has had since 2.6.39.
func uptime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}

// kernelBootID is the kernel's name for this run of the host, or "" where it does not tell.
func kernelBootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// manager is everything that serve started.
type manager struct {
	sink        *sink
	log         zerolog.Logger
	audit       *auditLog    // nil: none
	tokens      *auth.Tokens // nil: nobody needs one
	certificate *certificate // nil: no TLS
	store       *store.Store
	hub         *sockets.Hub
	runtime     *docker.Runtime
	controller  *controller.Controller
	server      *server.Server
	transport   *socketio.Transport
	listener    net.Listener
	basePath    string // of all that is served there
	admin       *admin
	flows       *flows
	metrics     *prometheus.Registry
}

// Garbage is collected once it has grown to gcPercent of what lives and gcFloor together; gcFloor is never touched and takes no memory.
// Where little lives, twice as much garbage as that may stand: a manager's messages and declarations are all garbage a moment later,
// and by Go's own setting a seventh of its time went into collecting them. Where much lives it is half as much, so that what lives is
// scattered over less: 10,000 flows take 137 MiB and not 166 (the benchmark's idle row).
const (
	gcPercent = 50
	gcFloor   = 24 << 20
)

func serve(ctx context.Context, s *settings) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		floor := make([]byte, gcFloor)
		defer runtime.KeepAlive(floor)
	}
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go
	m := &manager{sink: newSink(os.Stderr)}
	defer m.sink.close()
	m.log = logger(s, m.sink, m.redactor)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP) // from the first moment: it must never end the manager
	defer signal.Stop(again)
	err := m.open(s)
	if err == nil {
		err = m.run(ctx, again)
	}
	return errors.Join(err, m.close())
}

// open makes the parts in the order of their needs. What was opened before one of them failed is closed by close.
func (m *manager) open(s *settings) error {
	if err := m.openAccess(s); err != nil {
		return err
	}
	var err error
	var audit zerolog.Logger // writes nothing
	if s.AuditLog != "" {
		if m.audit, err = openAudit(s.AuditLog, m.redactor); err != nil {
			return usageError{err}
		}
		audit = m.audit.log
	}
	fail := failpoint()
	if err = m.openStore(s, fail); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	if m.admin, err = openAdmin(s, m.store, m.log); err != nil {
		return err
	}
	m.flows = newFlows(m.store, m.log)
	if m.hub, err = sockets.New(sockets.Config{RunDir: s.RunDir, Watcher: m.flows, Log: m.log, Status: func(id string) json.RawMessage { return statusOf(m.store, id) }}); err != nil {
		return fmt.Errorf("open the flows' sockets: %w", err)
	}
	if m.runtime, err = docker.New(docker.Config{Host: s.dockerHost(), PublishAddress: s.PublishAddress, Folders: []string{s.DataDir, s.RunDir}}); err != nil {
		return usageError{err}
	}
	s.paths.Engine = m.runtime.Folders
	m.warnOfSuid(s)
	snapshots, err := code.Open(context.Background(), filepath.Join(s.DataDir, "code"), code.Limits{Total: s.MaxCodeBytes})
	if err != nil {
		return fmt.Errorf("open the flows' code: %w", err)
	}
	m.controller = controller.New(controller.Config{
		Store: m.store, Runtime: m.runtime, Prober: m.runtime, Endpoints: m.hub, Snapshots: snapshots, Policy: s.policy(), Log: m.log, Workers: s.Workers, Pulls: s.Pulls,
		Resync: s.ResyncInterval, Ports: s.ports, AcceptEngine: s.AcceptEngine, AcceptRestore: s.AcceptRestore, Boot: bootID(), Uptime: uptime, Engine: m.announceEngine, Progress: m.announcePull, Fail: fail,
	})
	m.server = server.New(server.Backend{
		Store: m.store, Messenger: messenger{m.hub}, Stats: m.controller, Logs: m.runtime, StatusInterval: s.StatusInterval, Engine: m.controller, Policy: m.controller, Planner: m.controller, Log: m.log, Audit: audit, Version: version(), Fail: fail,
	})
	m.flows.tell, m.flows.look = m.server.Broadcast, m.controller.Look
	if err := m.listen(s); err != nil {
		return err
	}
	return m.register()
}

// openStore opens the store and says what of it cannot be relied upon.
func (m *manager) openStore(s *settings, fail func(string)) error {
	var err error
	m.store, err = store.Open(s.DataDir, store.Options{MaxContainers: s.MaxContainers, Retention: s.EventRetention, Mark: filepath.Join(s.RunDir, "store.mark"), Compacted: m.tellCompacted, Writable: m.tellWritable, Fail: fail})
	if err != nil {
		return err
	}
	for _, f := range m.store.Quarantined() {
		m.log.Error().Str("operation", "quarantine").Str("id", f.ID).Str("name", f.Name).Str("record", f.String()).
			Msg("a record is damaged and in quarantine: its container is left alone; see flow-manager store check")
	}
	return nil
}

// warnOfSuid says below which host paths a flow could leave a program that makes every local account root. The user within a container is
// the same to the host, and the bit is heeded wherever the file system is mounted without nosuid.
func (m *manager) warnOfSuid(s *settings) {
	roots, err := s.paths.ObeysSuid()
	if err != nil {
		m.log.Warn().Err(err).Str("operation", "policy").Msg("how the folders of --allow-host-path are mounted cannot be told")
	}
	if len(roots) > 0 {
		m.log.Warn().Str("operation", "policy").Strs("allow_host_path", roots).Msg("whoever may declare a flow that writes there can leave a set-user-id program, which makes every local account of this host root: " +
			"allow folders of a file system that is mounted with nosuid")
	}
}

// redactor knows the secrets of the container with that id.
func (m *manager) redactor(id string) api.Redactor { return redactorOf(m.store, id) }

// tellAuditLoss tells the log and every session that lines of the audit log are lost.
func (m *manager) tellAuditLoss(e api.Event) {
	m.log.Error().Str("operation", "audit").RawJSON("loss", e.Data).Msg("declarations are not in the audit log: see to its disk")
	m.server.Broadcast(e)
}

// tellCompacted notes that the store's file, of which more than half was free, was made smaller at the start, or not.
func (m *manager) tellCompacted(from, to int64, err error) {
	if err != nil {
		m.log.Warn().Err(err).Str("operation", "compact").Int64("bytes", from).Msg("more than half of the store's file is free and it could not be made smaller; the next start tries again")
		return
	}
	m.log.Info().Str("operation", "compact").Int64("bytes_before", from).Int64("bytes", to).Msg("the store's file was made smaller")
}

// tellWritable notes that the store cannot be written, and when it can be again.
func (m *manager) tellWritable(err error) {
	if err != nil {
		m.log.Error().Err(err).Str("operation", "commit").Msg("the store cannot be written: nothing is declared, stopped, replaced or removed; free space on its disk")
		return
	}
	m.log.Warn().Str("operation", "commit").Msg("the store can be written again")
}

// register makes /metrics of what the parts count.
func (m *manager) register() error {
	m.metrics = prometheus.NewRegistry()
	m.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.metrics.MustRegister(sessionCounts{m.transport}, flowCounts{m.hub}, quarantinedRecords(m.store), storeWritable(m.store))
	return m.controller.Register(m.metrics)
}

// announcePull tells every session how an image is coming along.
func (m *manager) announcePull(p api.PullProgress) { m.server.Broadcast(p.Event()) }

// announceEngine tells every session that the engine went away or came back.
func (m *manager) announceEngine(err error) { m.server.Broadcast(api.EngineNews(err)) }

// run serves until ctx ends, then stops in reverse order: clients first, containers never.
func (m *manager) run(ctx context.Context, again <-chan os.Signal) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, work := errgroup.WithContext(work)
	group.Go(func() error { return m.controller.Run(work) })
	group.Go(func() error { return m.server.Run(work) })
	group.Go(func() error { return m.flows.run(work) })
	group.Go(func() error { return push(work, m.store, m.hub) })
	group.Go(func() error { return m.obey(work, again) })
	group.Go(func() error { return m.admin.run(work) })
	group.Go(func() error { return m.sink.report(work, m.server.Broadcast) })
	if m.audit != nil {
		group.Go(func() error { return m.audit.report(work, m.tellAuditLoss) })
	}
	web := m.transport.Server(m.mux())
	group.Go(func() error {
		if err := web.Serve(m.secured()); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	m.log.Info().Str("operation", "serve").Str("listen", m.address()).Str("version", version()).Msg("serving")
	select {
	case <-ctx.Done():
		m.log.Info().Str("operation", "shutdown").Msg("stopping; containers keep running")
	case <-work.Done():
	}
	err := m.disconnect(web)
	stop()
	return errors.Join(err, group.Wait())
}

func (m *manager) disconnect(web *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	m.server.Drain()
	return errors.Join(m.transport.Shutdown(ctx), web.Shutdown(ctx))
}

func (m *manager) close() error {
	var errs []error
	if m.listener != nil {
		if err := m.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if m.admin != nil {
		errs = append(errs, m.admin.close())
	}
	if m.hub != nil {
		errs = append(errs, m.hub.Close())
	}
	if m.runtime != nil {
		errs = append(errs, m.runtime.Close())
	}
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.tokens != nil {
		m.tokens.Close()
	}
	if m.audit != nil {
		if loss := m.audit.lost(); loss.Dropped > 0 {
			errs = append(errs, fmt.Errorf("%d lines are lost: %s", loss.Dropped, loss.Message))
		}
		errs = append(errs, m.audit.reopen())
	}
	return errors.Join(errs...)
}

// mux serves Socket.IO, its description and the probes. The transport guards all of it against pages that rebind their name to this host.
func (m *manager) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", m.transport.Handler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.controller.Alive()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.shown(m.controller.Ready())) })
	mux.HandleFunc("GET /asyncapi.yaml", describe)
	mux.HandleFunc("/", m.transport.NotFound)
	return m.transport.CheckHost(below(m.basePath, mux, m.transport.NotFound))
}

// shown is what whoever asks a probe is told of an error: where clients have to log in, which no probe does, a word that the
// log says more about.
func (m *manager) shown(err error) error {
	if err == nil {
		return nil
	}
	text := api.NewRedactor(nil).Text(err.Error())
	if m.tokens != nil {
		text, _, _ = strings.Cut(text, ":")
		text += ": the manager's log says more"
	}
	return errors.New(text)
}

// describe tells anybody what the manager understands; nothing in it is of this instance.
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	fmt.Fprint(w, api.AsyncAPI())
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
