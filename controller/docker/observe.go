package docker

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/plan"
)

// summary is what a list shows of a container. The words in parentheses of its status (health, exit code) say when an
// inspection is worth while; nothing is decided by them.
func summary(c *container.Summary) plan.Container {
	_, status, _ := strings.Cut(c.Status, "(")
	status, _, _ = strings.Cut(status, ")")
	o := labelled(c.Labels)
	o.DockerID, o.State, o.ImageID = c.ID, c.State, c.ImageID
	if len(c.Names) > 0 {
		o.Name = strings.TrimPrefix(c.Names[0], "/")
	}
	o.Health = map[string]string{"healthy": api.HealthHealthy, "unhealthy": api.HealthUnhealthy, "health: starting": api.HealthStarting}[status]
	if c.NetworkSettings != nil {
		o.Networks = attachments(c.NetworkSettings.Networks)
	}
	o.Digest = strings.Join(append([]string{c.State, o.Name, status}, o.Networks...), " ")
	return o
}

// attachments are the names of the networks that an answer of the engine shows, sorted; nil where it shows none of that.
func attachments(networks map[string]*network.EndpointSettings) []string {
	names := make([]string, 0, len(networks))
	for name := range networks {
		names = append(names, unique.Make(name).Value()) // many containers, few networks
	}
	slices.Sort(names)
	return names
}

// leftTask reports whether a start failed because containerd still has a task of that container: the engine went while it started
// it, and has lost track of that ("already exists" of containerd's errdefs, for the task that moby names after the container).
func leftTask(dockerID, startError string) bool {
	return strings.Contains(startError, "task "+dockerID+": already exists")
}

func labelled(labels map[string]string) plan.Container {
	return plan.Container{ID: labels[labelID], Token: labels[labelToken], Hash: labels[labelHash], Instance: labels[labelInstance], Flow: labels[labelName]}
}

// observed is what an inspection shows of a container.
func observed(c *container.InspectResponse) (plan.Container, error) {
	if c.ContainerJSONBase == nil || c.State == nil || c.Config == nil {
		return plan.Container{}, fmt.Errorf("the engine's answer about a container is not whole")
	}
	o := labelled(c.Config.Labels)
	o.DockerID, o.Name, o.ImageID = c.ID, strings.TrimPrefix(c.Name, "/"), c.Image
	o.State, o.ExitCode, o.OOMKilled, o.StartError = string(c.State.Status), c.State.ExitCode, c.State.OOMKilled, c.State.Error
	o.LeftTask = leftTask(c.ID, c.State.Error)
	o.Anonymous, o.Carried = anonymous(c)
	o.StopSignal = c.Config.StopSignal
	o.Deadly = c.Config.Healthcheck != nil && api.CheckWithoutCommand(c.Config.Healthcheck.Test)
	if h := c.HostConfig; h != nil {
		o.RestartPolicy, o.Network = string(h.RestartPolicy.Name), string(h.NetworkMode)
		o.Limits = api.Resources{MemoryBytes: h.Memory, NanoCPUs: h.NanoCPUs}
		if h.PidsLimit != nil {
			o.Limits.PidsLimit = *h.PidsLimit
		}
	}
	if c.NetworkSettings != nil {
		o.Networks = attachments(c.NetworkSettings.Networks)
	}
	o.Health = api.HealthNone
	if c.State.Health != nil {
		o.Health, o.FailingStreak = health(string(c.State.Health.Status)), c.State.Health.FailingStreak
		if n := len(c.State.Health.Log); n > 0 && c.State.Health.Log[n-1] != nil {
			o.HealthOutput = clip(c.State.Health.Log[n-1].Output)
		}
	}
	var err error
	if o.StartedAt, err = instant(c.State.StartedAt); err != nil {
		return plan.Container{}, err
	}
	o.FinishedAt, err = instant(c.State.FinishedAt)
	return o, err
}

// anonymous are the volumes that the engine made for what the image asks for, by target: own for this container, carried for one
// before it. Of those that were asked for, declared ones bear our label.
func anonymous(c *container.InspectResponse) (own, carried map[string]string) {
	if c.HostConfig == nil {
		return nil, nil
	}
	own, carried = map[string]string{}, map[string]string{}
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume {
			own[m.Destination] = m.Name
		}
	}
	for _, m := range c.HostConfig.Mounts {
		delete(own, m.Target)
		if m.Type == mount.TypeVolume && m.VolumeOptions == nil {
			carried[m.Target] = m.Source
		}
	}
	return orNil(own), orNil(carried)
}

func orNil(volumes map[string]string) map[string]string {
	if len(volumes) == 0 {
		return nil
	}
	return volumes
}

// maxHealthOutput is how much of a health check's output is told.
const maxHealthOutput = 4 << 10

func clip(text string) string {
	if len(text) <= maxHealthOutput {
		return text
	}
	return strings.ToValidUTF8(text[:maxHealthOutput], "")
}

func health(word string) string {
	switch word {
	case container.Starting, container.Healthy, container.Unhealthy:
		return word
	}
	return api.HealthNone
}

// instant reads the engine's time; its year 1 is the zero time.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the engine's time: %w", err)
	}
	if t.Year() <= 1 {
		return time.Time{}, nil
	}
	return t, nil
}
