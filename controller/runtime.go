package controller

import (
	"context"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
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

// Observed is one container as the engine has it. Times are zero and ExitCode meaningless for one that never ran.
type Observed struct {
	DockerID string
	Name     string
	// ID, Token, Hash and Instance are its labels; proof of nothing.
	ID, Token, Hash, Instance string
	// State is the engine's word: created, running, paused, restarting, removing, exited or dead.
	State  string
	Health string
	// FailingStreak and HealthOutput are what the newest failed health checks said.
	FailingStreak int
	HealthOutput  string
	ImageID       string
	StartedAt     time.Time
	FinishedAt    time.Time
	ExitCode      int
	OOMKilled     bool
	// StartError is the engine's text about a start that failed, for people.
	StartError string
	// Anonymous are the volumes that the engine made for it, by target.
	Anonymous map[string]string
	// Interrupted is the controller's own finding: the run ended because the host or the engine did, not by itself.
	Interrupted bool
	// InterruptedBefore is the finding that so was the run before it, which was taken for a crash then: an engine that is being
	// stopped still starts what it has ended already.
	InterruptedBefore bool
	// Digest sums up what a list shows of the container; it differs when an inspection is worth while.
	Digest string
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
	// Healthcheck tells whether it declares one.
	Healthcheck bool
}

// Runtime is the engine. Methods take seconds at most, Pull excepted; their errors are of the classes above, or *api.Error where policy
// forbids. Repeating one is harmless: starting what runs and removing what is gone give nil or ErrAbsent.
type Runtime interface {
	// Engine gives the engine's own id.
	Engine(ctx context.Context) (string, error)
	// List gives all containers that bear our id label, running or not, with State, names, labels and Digest only.
	List(ctx context.Context) ([]Observed, error)
	// Inspect looks at one container by Docker id or exact name.
	Inspect(ctx context.Context, ref string) (Observed, error)
	Create(ctx context.Context, t Template) (dockerID string, err error)
	Start(ctx context.Context, dockerID string) error
	// Kill sends a signal, "" for SIGKILL.
	Kill(ctx context.Context, dockerID, signal string) error
	Pause(ctx context.Context, dockerID string) error
	Unpause(ctx context.Context, dockerID string) error
	Rename(ctx context.Context, dockerID, name string) error
	// Limit changes limits of a standing container.
	Limit(ctx context.Context, dockerID string, r api.Resources) error
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
	// Events calls ready once it is subscribed, then mark for each event until the stream ends. mark must not block.
	Events(ctx context.Context, ready func(), mark func(id, dockerID string)) error
}

// Endpoints are the sockets of the flows.
type Endpoints interface {
	// Open makes the folder and the listener, and may be repeated.
	Open(id string) error
	// Listening tells whether both are there.
	Listening(id string) bool
	// Remove takes both away.
	Remove(id string) error
	// Left are the ids that have a folder, whoever made it.
	Left() ([]string, error)
	// Dir is the folder that is mounted into the container.
	Dir(id string) string
	// Heard tells when the flow last sent anything, and when it last said that it is ready; zero: never.
	Heard(id string) (last, ready time.Time)
	// Lifecycle tells the flow what is about to be done to it.
	Lifecycle(id, event string, graceSeconds int)
}
