package api

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// The words of spec fields that have no other home.
const (
	ReadinessNone     = "none"
	ReadinessSocket   = "socket"
	OnFailureRollback = "rollback"
	OnFailurePause    = "pause"
)

// The bounds of a declaration.
const (
	MaxSpecBytes   = 256 << 10
	MaxEnvironment = 1000
	MaxPorts       = 100
	MaxVolumes     = 100
	MaxLabels      = 100
	MinMemoryBytes = 6 << 20 // below it the engine refuses to start a container
	maxStringBytes = 4096
	maxKeyBytes    = 256
	maxWordBytes   = 128<<10 - 1 // of an argument or a variable: with its NUL, the kernel takes no longer one
)

// LabelPrefix is the manager's own; user labels may not begin with it.
const LabelPrefix = "io.flow-manager."

var (
	namePattern     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$`) // the engine refuses a single character
	idPattern       = regexp.MustCompile(`^[0-9a-v]{20}$`)
	dockerIDPattern = regexp.MustCompile(`^[0-9a-f]{12,64}$`)
	volumePattern   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}$`)
	networkPattern  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)
	hostnamePattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$`)
)

// IsID tells whether s has the form of a container's id.
func IsID(s string) bool { return idPattern.MatchString(s) }

// IsDockerID tells whether s can be a Docker id or a prefix of one that a request may use.
func IsDockerID(s string) bool { return dockerIDPattern.MatchString(s) }

// DefaultName is the name of a container that was declared without one.
func DefaultName(id string) string { return "flow-" + id }

// ValidateName checks the name of a container to be declared.
func ValidateName(name string) []FieldError {
	switch {
	case !namePattern.MatchString(name):
		return []FieldError{{"name", fmt.Sprintf("%q must begin with a letter or digit and have 2 to 63 letters, digits, '_', '.' or '-'", clip(name))}}
	case IsID(name), IsDockerID(name):
		return []FieldError{{"name", fmt.Sprintf("%q has the form of an id; choose a name that cannot be taken for one", name)}}
	}
	return nil
}

// ValidateNewName checks what ValidateName does not of the name of a container that is new: nobody may take the default name of another.
func ValidateNewName(name string) []FieldError {
	if id, isDefault := strings.CutPrefix(name, "flow-"); isDefault && IsID(id) {
		return []FieldError{{"name", fmt.Sprintf("%q is reserved for the container with that id", name)}}
	}
	return nil
}

// ValidateLabels checks the labels of a container to be declared.
func ValidateLabels(labels map[string]string) []FieldError {
	v := validation{}
	v.atMost("labels", len(labels), MaxLabels)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		field := join("labels", clip(key))
		v.key(field, key)
		v.check(!strings.HasPrefix(key, LabelPrefix), field, "labels that begin with "+LabelPrefix+" are the manager's own")
		v.short(field, labels[key])
	}
	return v.bad
}

// Validate checks a defaulted spec and names every bad field.
func (s *Spec) Validate() []FieldError {
	v := validation{}
	v.image(s.Image)
	v.environment(s.Environment)
	v.volumes(s)
	v.ports(s.Ports)
	v.process(s)
	v.choices(s)
	v.resources(s.Resources)
	v.healthcheck(s.Healthcheck)
	v.updatePolicy(s.UpdatePolicy)
	if s.Liveness != nil {
		v.between("liveness.heartbeat_seconds", s.Liveness.Heartbeat, 1, 86400)
	}
	v.check(len(Encode(s)) <= MaxSpecBytes, ".", "a spec may have at most %d bytes", MaxSpecBytes)
	return v.bad
}

type validation struct{ bad []FieldError }

func (v *validation) check(ok bool, field, format string, args ...any) {
	if !ok && len(v.bad) < maxFieldErrors {
		v.bad = append(v.bad, FieldError{field, fmt.Sprintf(format, args...)})
	}
}

func (v *validation) between(field string, n, low, high int) {
	v.check(n >= low && n <= high, field, "%d is out of range; use %d to %d", n, low, high)
}

func (v *validation) atMost(field string, n, limit int) {
	v.check(n <= limit, field, "has %d entries; at most %d are allowed", n, limit)
}

func (v *validation) oneOf(field, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), field, "%q is not one of %s", clip(value), strings.Join(allowed, ", "))
}

func (v *validation) text(field, value string) {
	v.check(!strings.ContainsRune(value, 0), field, "may not contain a NUL byte")
}

func (v *validation) key(field, key string) {
	v.check(key != "" && len(key) <= maxKeyBytes, field, "the key must have 1 to %d bytes", maxKeyBytes)
	v.check(!strings.ContainsRune(key, 0), field, "the key may not contain a NUL byte")
}

// word is an argument as the kernel hands it to a process.
func (v *validation) word(field, word string) {
	v.text(field, word)
	v.fits(field, len(word))
}

func (v *validation) fits(field string, bytes int) {
	v.check(bytes <= maxWordBytes, field, "has %d bytes; the kernel hands at most %d to a process", bytes, maxWordBytes)
}

func (v *validation) short(field, value string) {
	v.text(field, value)
	v.check(len(value) <= maxStringBytes, field, "has %d bytes; at most %d are allowed", len(value), maxStringBytes)
}

func (v *validation) absolute(field, value string) {
	v.short(field, value)
	v.check(path.IsAbs(value) && path.Clean(value) == value, field, "%q must be an absolute path without '.', '..', double or trailing slashes", clip(value))
}

func (v *validation) image(image string) {
	if image == "" {
		v.check(false, "image", "is required: which image shall run?")
		return
	}
	_, err := reference.ParseAnyReference(image)
	v.check(err == nil, "image", "%q is no image reference: %v", clip(image), err)
}

func (v *validation) environment(env map[string]string) {
	v.atMost("environment", len(env), MaxEnvironment)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		field := join("environment", clip(key))
		v.key(field, key)
		v.check(!strings.Contains(key, "="), field, "the key may not contain '='")
		v.check(key != "FLOW_SOCKET" && !strings.HasPrefix(key, "FLOW_CONTAINER_"), field, "FLOW_SOCKET and FLOW_CONTAINER_* are set by the manager")
		v.text(field, env[key])
		v.fits(field, len(key)+len("=")+len(env[key]))
	}
}

// Mount is one entry of volumes, taken apart.
type Mount struct {
	Source   string
	Target   string
	ReadOnly bool
}

// IsHostPath tells a host path from a named volume.
func (m Mount) IsHostPath() bool { return strings.HasPrefix(m.Source, "/") }

// Mounts are the volumes of a spec, sorted by source.
func (s *Spec) Mounts() []Mount {
	mounts := make([]Mount, 0, len(s.Volumes))
	for _, source := range slices.Sorted(maps.Keys(s.Volumes)) {
		target, readOnly := strings.CutSuffix(s.Volumes[source], ":ro")
		if !readOnly {
			target = strings.TrimSuffix(target, ":rw")
		}
		mounts = append(mounts, Mount{source, target, readOnly})
	}
	return mounts
}

func (v *validation) volumes(s *Spec) {
	v.atMost("volumes", len(s.Volumes), MaxVolumes)
	taken := map[string]string{}
	for _, m := range s.Mounts() {
		field := join("volumes", clip(m.Source))
		if m.IsHostPath() {
			v.absolute(field, m.Source)
		} else {
			v.check(volumePattern.MatchString(m.Source), field, "is neither an absolute host path nor a volume's name (2 to 128 letters, digits, '_', '.' or '-')")
		}
		v.target(field, m.Target, taken)
	}
	if s.Code != nil {
		v.absolute("code.path", s.Code.Path)
		v.target("code.target", s.Code.Target, taken)
	}
}

func (v *validation) target(field, target string, taken map[string]string) {
	v.absolute(field, target)
	v.check(!reserved(target), field, "%q is reserved; mount elsewhere than /, /run/flow, /proc, /sys and /dev", clip(target))
	v.check(taken[target] == "", field, "%q is the target of %s too", clip(target), taken[target])
	taken[target] = field
}

// reserved targets would hide the flow's socket, the kernel's file systems, or the image itself.
func reserved(target string) bool {
	if target == "/" {
		return true
	}
	for _, root := range []string{"/run/flow", "/var/run/flow", "/proc", "/sys", "/dev"} {
		if target == root || strings.HasPrefix(target, root+"/") {
			return true
		}
	}
	return false
}

func (v *validation) ports(ports map[string]HostPort) {
	v.atMost("ports", len(ports), MaxPorts)
	taken := map[string]string{}
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		number, protocol, err := ParsePort(port)
		field := join("ports", clip(port))
		if err != nil {
			v.check(false, field, "%v", err)
			continue
		}
		key := fmt.Sprintf("%d/%s", number, protocol)
		v.check(taken[key] == "", field, "is the same container port as %q", taken[key])
		taken[key] = port
	}
}

func (v *validation) process(s *Spec) {
	for name, words := range map[string][]string{"command": s.Command, "entrypoint": s.Entrypoint} {
		for i, word := range words {
			v.word(fmt.Sprintf("%s[%d]", name, i), word)
		}
	}
	if s.WorkingDir != "" {
		v.absolute("working_dir", s.WorkingDir)
	}
	v.short("user", s.User)
	v.check(hostnamePattern.MatchString(s.Hostname), "hostname", "%q must be 1 to 63 letters, digits, '_', '.' or '-', and end in a letter or digit", clip(s.Hostname))
	v.check(s.StopSignal == "" || IsSignal(s.StopSignal), "stop_signal", "%q is no signal; write a name such as SIGTERM or RTMIN+3, or a number of 1 to 64", clip(s.StopSignal))
	v.between("stop_grace_seconds", *s.StopGrace, 0, 600)
}

func (v *validation) choices(s *Spec) {
	v.oneOf("desired_state", s.DesiredState, DesiredCreated, DesiredRunning, DesiredStopped, DesiredPaused)
	v.oneOf("restart_policy.name", s.RestartPolicy.Name, RestartAlways, RestartOnFailure, RestartNever)
	v.oneOf("restart_policy.on_unhealthy", s.RestartPolicy.OnUnhealthy, UnhealthyRestart, UnhealthyReport)
	v.between("restart_policy.max_attempts", s.RestartPolicy.MaxAttempts, 0, 1_000_000)
	v.oneOf("readiness", s.Readiness, ReadinessNone, ReadinessSocket)
	v.oneOf("image_pull_policy", s.ImagePullPolicy, PullIfNotPresent, PullAlways, PullNever)
	v.check(networkPattern.MatchString(s.Network), "network", "%q is no network's name; use bridge, none or the name of one", clip(s.Network))
	v.check(s.Network != NetworkNone && s.Network != NetworkHost || len(s.Ports) == 0, "ports", "cannot be published with network %s", s.Network)
}

func (v *validation) resources(r Resources) {
	v.check(r.MemoryBytes == 0 || r.MemoryBytes >= MinMemoryBytes, "resources.memory_bytes", "%d is out of range; use 0 (no limit) or at least %d", r.MemoryBytes, MinMemoryBytes)
	v.check(r.NanoCPUs == 0 || r.NanoCPUs >= 10_000_000, "resources.nano_cpus", "%d is out of range; use 0 (no limit) or at least 10000000 (a hundredth of a CPU)", r.NanoCPUs)
	v.check(r.PidsLimit >= 1 && r.PidsLimit <= 4_194_304, "resources.pids_limit", "%d is out of range; use 1 to 4194304", r.PidsLimit)
}

func (v *validation) updatePolicy(p UpdatePolicy) {
	v.between("update_policy.monitor_seconds", *p.Monitor, 0, 3600)
	v.between("update_policy.deadline_seconds", p.Deadline, 0, 86400)
	v.oneOf("update_policy.on_failure", p.OnFailure, OnFailureRollback, OnFailurePause)
	v.between("update_policy.max_attempts", p.MaxAttempts, 1, 1000)
}
