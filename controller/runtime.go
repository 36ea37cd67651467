package controller

import (
	"context"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// Classes of a Runtime's errors. An error that is of none of them is the engine's own trouble: transient until shown otherwise.
var (
	// ErrAbsent means that the container, image, network or volume of the call is not there.
	ErrAbsent = errors.New("not there")
	// ErrConflict means that a name is taken or a container is in the wrong state; look at it next.
	ErrConflict = errors.New("conflict")
	// ErrInvalid means that the engine will never take this request.
	ErrInvalid = errors.New("invalid")
	// ErrUnavailable means that the engine did not answer; what was asked may have happened.
	ErrUnavailable = errors.New("engine unavailable")
	// ErrUnauthorized means that a registry does not give an image to whoever asked. Some say the same of images that do not
	// exist, so as not to tell which do.
	ErrUnauthorized = errors.New("unauthorized")
)

// EventKind is what an event of the engine tells.
type EventKind string

// The kinds that matter; all others are Changed.
const (
	Changed EventKind = ""
	Started EventKind = "start"
	Killed  EventKind = "kill" // a signal that asks it to end
	Ended   EventKind = "die"
	// Detached: it was taken off a network, as any that ends is too. Such events bear no labels, and may be of anybody's container.
	Detached EventKind = "disconnect"
)

// Event is something that happened to a container, by the engine's clock.
type Event struct {
	ID, DockerID string
	Kind         EventKind
	At           time.Time
}

// Replay is what the engine remembers of what happened since a moment that an event of it was seen at.
type Replay struct {
	// Events are those of our containers, in their order.
	Events []Event
	// Same tells that it is the engine process of then: it remembers that event. Younger tells that it began later: it
	// remembers less than it could, and not that event. Neither: nobody knows.
	Same, Younger bool
	// First is when the first event was that it remembers since then, anybody's; zero where there is none.
	First time.Time
}

// Template is everything that a container is made from.
type Template struct {
	ID, Name, DockerName  string
	Token, Hash, Instance string
	Spec                  api.Spec
	Ports                 map[string]api.HostPort
	HostPaths             map[string]string // by the path that was declared, the one to mount
	SocketDir             string
	CodeDir               string // what is mounted read-only at the code's target; "" where there is none
	// Volumes are anonymous volumes of an earlier container that this one takes over, by target.
	Volumes map[string]string
}

// Image is what a reference means on the engine now.
type Image struct {
	ID string
	// Digest is that of the manifest by which the reference's repository has it, as sha256:<hex>; "" where it came from no
	// registry under this name.
	Digest string
	// Volumes are the targets that it wants anonymous volumes for, sorted.
	Volumes []string
	// Deadly tells that its health check has no command, of which an engine may die.
	Deadly bool
}

// Runtime is the engine. Methods take seconds at most, Pull excepted; their errors are of the classes above, or *api.Error where policy
// forbids. Repeating one is harmless: starting what runs and removing what is gone give nil or ErrAbsent.
type Runtime interface {
	// Engine gives the engine's own id.
	Engine(ctx context.Context) (string, error)
	// List gives all containers that bear our id label, running or not, with State, names, labels and Digest only.
	List(ctx context.Context) ([]plan.Container, error)
	// Inspect looks at one container by Docker id or exact name.
	Inspect(ctx context.Context, ref string) (plan.Container, error)
	Create(ctx context.Context, t Template) (dockerID string, err error)
	Start(ctx context.Context, dockerID string) error
	// Kill sends a signal, "" for SIGKILL.
	Kill(ctx context.Context, dockerID, signal string) error
	Pause(ctx context.Context, dockerID string) error
	Unpause(ctx context.Context, dockerID string) error
	Rename(ctx context.Context, dockerID, name string) error
	// Limit changes limits of a standing container, and takes the engine's own restart policy from it.
	Limit(ctx context.Context, dockerID string, r api.Resources) error
	// Connect attaches a container to a network by its name, under an alias where the network knows names. What is left of
	// an attachment to a network that is gone is taken away first.
	Connect(ctx context.Context, dockerID, network, alias string) error
	// Remove takes the container and its anonymous volumes away, running or not.
	Remove(ctx context.Context, dockerID string) error
	// VolumeInstance is the instance whose label a named volume bears, "" for one that bears none.
	VolumeInstance(ctx context.Context, name string) (string, error)
	// NetworkName is the name of the network that ref, its name or id, stands for.
	NetworkName(ctx context.Context, ref string) (string, error)
	// RemoveVolume takes away a named volume that bears this instance's label and that nobody mounts, and leaves others.
	RemoveVolume(ctx context.Context, name, instance string) error
	// RemoveCarried takes away a volume that was anonymous until another container took it over.
	RemoveCarried(ctx context.Context, name string) error
	// Image tells what a reference or an image's id means now.
	Image(ctx context.Context, ref string) (Image, error)
	// Pull brings an image from its registry, and returns when the engine has the whole of it; that takes its time, until ctx
	// ends. ErrUnavailable is the engine's absence alone, never the registry's. progress must not block.
	Pull(ctx context.Context, ref string, progress func(api.PullProgress)) error
	// Usage samples a running container's consumption; it may take a second.
	Usage(ctx context.Context, dockerID string) (api.Usage, error)
	// LastLines are the last lines that the container wrote to its output, oldest first: at most so many lines and bytes.
	LastLines(ctx context.Context, dockerID string, lines, bytes int) ([]string, error)
	// Events calls ready once it is subscribed, then tell for each event until the stream ends. tell must not block.
	Events(ctx context.Context, ready func(), tell func(Event)) error
	// Replay gives what the engine remembers since an event that was seen.
	Replay(ctx context.Context, since time.Time) (Replay, error)
}

// Endpoints are the sockets of the flows.
type Endpoints interface {
	// Open makes the folder and the listener, and may be repeated.
	Open(id string) error
	// Listening tells whether both are there.
	Listening(id string) bool
	// Mount names the folder as it is now: another name says that it was made anew, "" that it is not known.
	Mount(id string) string
	// Remove takes both away.
	Remove(id string) error
	// Left are the ids that have a folder, whoever made it.
	Left() ([]string, error)
	// Dir is the folder that is mounted into the container.
	Dir(id string) string
	// Heard tells when the flow last sent anything, and when it last said that it is ready; zero: never.
	Heard(id string) (last, ready time.Time)
	// Connected tells whether the flow has a connection now.
	Connected(id string) bool
	// Lifecycle tells the flow what is about to be done to it.
	Lifecycle(id, event string, graceSeconds int)
}
