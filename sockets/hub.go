package sockets

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// Watcher hears what flows say, in order and one call at a time per container, on the goroutine that read it. It must not
// block for long, nor call Open, Remove or Close, which may be waiting for it. The bytes it is given are its own.
type Watcher interface {
	// Connection is told when a container's first connection is made and when its last one is gone.
	Connection(id string, connected bool)
	// Message gets any object but hello, ping, ready, heartbeat and replies that somebody waits for.
	Message(id string, message json.RawMessage)
	// ActorEvent gets an actor_event after Message did. data is nil where there is none.
	ActorEvent(id, actor, event string, data json.RawMessage)
	Ready(id string)
	Heartbeat(id string)
	// Reachable is told that the flow is missed: a message has waited out its time and nobody was connected; and then, once,
	// that it is back.
	Reachable(id string, reachable bool)
	// Traffic counts a client's message that was written whole, or a message or reply from the flow, with the beginning of
	// its type and its size in bytes. Unlike the others it is called from any goroutine and while the hub holds locks.
	Traffic(id string, way Way, kind string, size int)
	// Fault gets a message_format_error or a socket_error, of each type and container at most one a minute;
	// details.suppressed counts those that were not said.
	Fault(id string, err *api.Error)
}

// Way is where a message goes.
type Way int

// The ways.
const (
	ToFlow Way = iota
	FromFlow
)

// Config is what a Hub is made from. A limit that is zero gets its default.
type Config struct {
	RunDir  string // made with mode 0700 where it is missing
	Watcher Watcher
	Log     zerolog.Logger
	// Status gives a container's status, a JSON value, which its connections are told; nil where there is none. It is called while
	// the hub holds locks and must not call the hub. Without it no status is told.
	Status func(id string) json.RawMessage

	MaxFrame        int           // bytes of JSON in a frame, either way; 1 MiB
	MaxConnections  int           // per container; 16
	FrameTimeout    time.Duration // from a frame's first byte to its last; 30 s
	WriteTimeout    time.Duration // for the flow to take a frame; 10 s
	MaxWaiting      int           // messages per container that are not yet written; 8192
	MaxWaitingBytes int           // and their bytes; 4 MiB
	TakeTimeout     time.Duration // for the flow to take one of those, where there is no room for another; 250 ms
	MaxHeard        int           // bytes a second that a container may say unasked, half of them at once; 4 MiB
	MaxJoins        int           // connections a second that it may make, and four times MaxConnections at once; 10
}

func (c Config) withDefaults() Config {
	if c.Status == nil {
		c.Status = func(string) json.RawMessage { return nil }
	}
	c.MaxFrame = cmp.Or(c.MaxFrame, 1<<20)
	c.MaxConnections = cmp.Or(c.MaxConnections, 16)
	c.FrameTimeout = cmp.Or(c.FrameTimeout, 30*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.MaxWaiting = cmp.Or(c.MaxWaiting, 8192)
	c.MaxWaitingBytes = cmp.Or(c.MaxWaitingBytes, 4<<20)
	c.TakeTimeout = cmp.Or(c.TakeTimeout, 250*time.Millisecond)
	c.MaxHeard = cmp.Or(c.MaxHeard, 4<<20)
	c.MaxJoins = cmp.Or(c.MaxJoins, 10)
	return c
}

var errClosed = errors.New("the hub is closed")

// Hub holds the sockets of all containers. Its methods may be called at any time from any goroutine.
type Hub struct {
	cfg      Config
	counts   counts
	poller   poller
	talk     talk
	refusals refusals

	// locks are held by Open, Remove, Listening and Close, which change a container's files and listener or look at them: one at
	// a time does so for a container. They are taken before mu.
	locks keyedMutex

	mu        sync.RWMutex
	closed    bool
	endpoints map[string]*endpoint
}

// New makes a Hub without any sockets.
func New(cfg Config) (*Hub, error) {
	if cfg.Watcher == nil {
		return nil, errors.New("make hub: no watcher")
	}
	if err := os.MkdirAll(cfg.RunDir, runDirMode); err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	info, err := os.Stat(cfg.RunDir)
	if err != nil {
		return nil, fmt.Errorf("look at run directory: %w", err)
	}
	if open := info.Mode().Perm() &^ runDirMode; open != 0 {
		cfg.Log.Warn().Str("operation", "open_sockets").Str("run_dir", cfg.RunDir).Stringer("mode", info.Mode()).
			Msg("other users of this host can reach the flows' sockets: set the run directory's mode to 0700")
	}
	return &Hub{cfg: cfg.withDefaults(), endpoints: map[string]*endpoint{}}, nil
}

// Open makes the container's folder and socket and listens there. Where all stands already it does nothing; what was removed
// or replaced is made anew, and connections live on. The error is a socket_error.
func (h *Hub) Open(id string) error {
	if !isID(id) {
		return badID(id)
	}
	defer h.locks.lock(id)()
	if err := h.openLocked(id); err != nil {
		return api.Errorf(api.SocketError, "the flow's socket could not be made").For("", "", id).Because(err)
	}
	return nil
}

func (h *Hub) openLocked(id string) error {
	h.mu.RLock()
	e, closed := h.endpoints[id], h.closed
	h.mu.RUnlock()
	if closed {
		return errClosed
	}
	if e != nil {
		return e.open()
	}
	e = newEndpoint(id, h)
	if err := e.open(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endpoints[id] = e
	return nil
}

// Mount names the container's folder: by device, inode and birth, so that one that was made anew has another name. "" is a
// folder that is not there, or cannot be looked at.
func (h *Hub) Mount(id string) string {
	var stat unix.Statx_t
	if !isID(id) {
		return ""
	}
	err := unix.Statx(unix.AT_FDCWD, filepath.Join(h.cfg.RunDir, id), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &stat)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d-%d-%d.%d", stat.Dev_major, stat.Dev_minor, stat.Ino, stat.Btime.Sec, stat.Btime.Nsec)
}

// Listening reports whether the container's socket is where a flow looks for it. It changes nothing.
func (h *Hub) Listening(id string) bool {
	defer h.locks.lock(id)()
	h.mu.RLock()
	e := h.endpoints[id]
	h.mu.RUnlock()
	return e != nil && e.listening()
}

// Remove ends the container's connections and waiting messages, and removes its socket and folder, whoever made them.
func (h *Hub) Remove(id string) error {
	if !isID(id) {
		return badID(id)
	}
	defer h.locks.lock(id)()
	h.mu.Lock()
	e := h.endpoints[id]
	delete(h.endpoints, id)
	h.mu.Unlock()
	if e != nil {
		e.shut()
	}
	if err := os.RemoveAll(h.Dir(id)); err != nil {
		return api.Errorf(api.SocketError, "the flow's socket folder could not be removed").For("", "", id).Because(err)
	}
	return nil
}

// Close ends every listener and connection. The files stay.
func (h *Hub) Close() error {
	defer h.locks.lockAll()()
	h.mu.Lock()
	h.closed = true
	endpoints := h.endpoints
	h.endpoints = map[string]*endpoint{}
	h.mu.Unlock()
	for _, e := range endpoints {
		e.shut()
	}
	return h.poller.close()
}

// Dir is the container's folder on the host; "" where id is no id.
func (h *Hub) Dir(id string) string {
	if !isID(id) {
		return ""
	}
	return filepath.Join(h.cfg.RunDir, id)
}

// Path is the container's socket on the host; "" where id is no id.
func (h *Hub) Path(id string) string {
	if !isID(id) {
		return ""
	}
	return filepath.Join(h.Dir(id), socketName(id))
}

// StatusChanged has the container's connections told of its status, unless they know it. A new one is told by its first frame.
func (h *Hub) StatusChanged(id string) {
	if e, err := h.find(id); err == nil {
		e.notifyStatus()
	}
}

// Lifecycle tells the connections what the manager is about to do, and how many seconds they have.
func (h *Hub) Lifecycle(id, event string, grace int) {
	if e, err := h.find(id); err == nil {
		e.notify(notice{"lifecycle " + event, frame(api.Encode(struct {
			Type         string `json:"type"`
			Event        string `json:"event"`
			GraceSeconds int    `json:"grace_seconds"`
		}{"lifecycle", event, grace}))})
	}
}

// Facts tells what is known of the container's communication; the zero value where its socket is not open.
func (h *Hub) Facts(id string) Facts {
	e, err := h.find(id)
	if err != nil {
		return Facts{}
	}
	return e.snapshot()
}

// Connected reports whether the flow has a connection now.
func (h *Hub) Connected(id string) bool { return h.Facts(id).Connected }

// Heard tells when the flow last sent anything, and when it was last ready: now, while a connection stands on which it said
// so; else when it said so. Zero: never.
func (h *Hub) Heard(id string) (last, ready time.Time) {
	e, err := h.find(id)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	return e.lastActivity()
}

func (h *Hub) find(id string) (*endpoint, *api.Error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return nil, closedError().With("delivery", waiting.delivery())
	}
	e := h.endpoints[id]
	if e == nil {
		return nil, api.Errorf(api.SocketConnectionError, "the flow has no socket now, for its container is not made yet or is being removed; explain_container says which").For("", "", id).With("delivery", waiting.delivery())
	}
	return e, nil
}

func badID(id string) *api.Error {
	return api.Invalid(api.FieldError{Field: "container_id", Message: fmt.Sprintf("%q is not an id", id)})
}
