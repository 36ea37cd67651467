package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// container is what a table shows of one.
type container struct {
	ID       string                `json:"id"`
	Name     string                `json:"name"`
	State    string                `json:"status"`
	Lasts    bool                  `json:"available"`
	Reason   string                `json:"reason"`
	Health   string                `json:"health"`
	Restarts int                   `json:"restart_count"`
	Created  time.Time             `json:"created"`
	Image    string                `json:"image"`
	Ports    map[string]publishing `json:"ports"`
	Deleted  *time.Time            `json:"deleted_at"`

	conditions []api.Condition // where they are known
}

// publishing is where a port is published: a number, or an address and a number.
type publishing string

// UnmarshalJSON takes both.
func (p *publishing) UnmarshalJSON(data []byte) error {
	*p = publishing(strings.Trim(string(data), `"`))
	return nil
}

func (a *app) getCommand() *cobra.Command {
	var labels map[string]string
	var watch, export bool
	cmd := &cobra.Command{
		Use:        "get [NAME|ID...] [-l KEY=VALUE] [--watch | --export]",
		SuggestFor: []string{"ps", "ls", "list"},
		Short:      "List all containers, or show some",
		Long: `List all containers, or show some. With --watch each that changes is shown again, whatever becomes of the connection; as JSON
and YAML each is an object of type (added, modified, deleted) and container then. With --export only what can be declared is printed,
as YAML unless -o says otherwise: flowctl apply takes it.`,
		Example: `  flowctl get -l team=blue
  flowctl get hello -o yaml
  flowctl get hello --export >hello.yaml
  flowctl get --watch`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) > 0 && len(labels) > 0 {
				return usagef("give names or labels, not both")
			}
			if watch && export {
				return usagef("give --watch or --export, not both")
			}
			if export {
				return a.export(cmd.Context(), names, labels)
			}
			if watch {
				a.endless = true
				b := a.newBoard(names, labels)
				return a.watch(cmd.Context(), hearing(b.begin, b.hear))
			}
			return a.get(cmd.Context(), names, labels)
		},
	}
	cmd.Flags().StringToStringVarP(&labels, "label", "l", nil, "only containers that have the label `key=value`; may be given again")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	cmd.Flags().BoolVar(&export, "export", false, "print what can be declared, and nothing that was observed")
	return a.completeNames(cmd, 0)
}

// export prints each container as a document that declares it.
func (a *app) export(ctx context.Context, names []string, labels map[string]string) error {
	if a.output == "table" {
		a.output = "yaml"
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	objects, failures, err := a.selected(ctx, c, names, labels)
	if err != nil {
		return err
	}
	for i := range objects {
		if objects[i], err = exported(objects[i]); err != nil {
			return err
		}
	}
	if err := a.printObjects(objects, false); err != nil {
		return err
	}
	return failures.orNil()
}

// selected are the containers of these names, or all that have the labels.
func (a *app) selected(ctx context.Context, c *Client, names []string, labels map[string]string) ([]json.RawMessage, several, error) {
	if len(names) > 0 {
		return a.collect(ctx, c, names, a.object)
	}
	listed, err := a.list(ctx, c, listing{labels: labels})
	if err != nil {
		return nil, nil, err
	}
	objects, err := a.objectsOf(ctx, c, listed.items)
	return objects, nil, err
}

func (a *app) get(ctx context.Context, names []string, labels map[string]string) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if len(names) > 0 {
		return a.getSome(ctx, c, names)
	}
	listed, err := a.list(ctx, c, listing{labels: labels})
	if err != nil {
		return err
	}
	if a.output == "table" {
		return a.write(containerTable(listed.items, time.Now()).text())
	}
	objects, err := a.objectsOf(ctx, c, listed.items)
	if err != nil {
		return err
	}
	return a.printObjects(objects, true)
}

// getSome shows those that there are, and fails for each that is not.
func (a *app) getSome(ctx context.Context, c *Client, names []string) error {
	objects, failures, err := a.collect(ctx, c, names, a.object)
	if err == nil && len(objects) > 0 {
		err = a.show(objects, len(names) > 1)
	}
	if err != nil {
		return err
	}
	return failures.orNil()
}

func (a *app) show(objects []json.RawMessage, list bool) error {
	if a.output != "table" {
		return a.printObjects(objects, list)
	}
	items := make([]container, 0, len(objects))
	for _, o := range objects {
		item, err := itemOf(o)
		if err != nil {
			return err
		}
		a.noteUnknown(item.conditions)
		items = append(items, item)
	}
	return a.write(containerTable(items, time.Now()).text())
}

// listing says which containers to list: those that have all the labels and are in one of the states, where any are given.
type listing struct {
	labels map[string]string
	states []string
}

func (l listing) request() map[string]any {
	request := map[string]any{}
	if len(l.labels) > 0 {
		request["labels"] = l.labels
	}
	if len(l.states) > 0 {
		request["states"] = l.states
	}
	return request
}

// listed has all pages, and the version that the first of them was true at: what changed since then must be looked at.
type listed struct {
	items   []container
	version string
}

func (a *app) list(ctx context.Context, c *Client, l listing) (listed, error) {
	var all listed
	request := l.request()
	for {
		var page struct {
			Containers []container `json:"containers"`
			Continue   string      `json:"continue"`
			Version    string      `json:"resource_version"`

			Away *api.EngineAway `json:"engine_away"`
		}
		if err := a.ask(ctx, c, api.ListContainers, request, &page); err != nil {
			return all, err
		}
		if all.version == "" {
			all.version = page.Version
			if page.Away != nil {
				a.noteOutage(page.Away.Error())
			}
		}
		all.items = append(all.items, page.Containers...)
		if page.Continue == "" {
			return all, nil
		}
		request["continue"] = page.Continue
	}
}

// version is the server's now.
func (a *app) version(ctx context.Context, c *Client) (string, error) {
	var page struct {
		Version string `json:"resource_version"`
	}
	err := a.ask(ctx, c, api.ListContainers, map[string]any{"limit": 1}, &page)
	return page.Version, err
}

// noteOutage says beside what is shown that it is not how things are now: the engine is away, or the store a restored one. It says so
// once.
func (a *app) noteOutage(why string) {
	if why != a.outage {
		a.outage = why
		a.note("what is shown is what was seen last: %s", why)
	}
}

// noteUnknown is noteOutage for a container whose conditions tell so.
func (a *app) noteUnknown(conditions []api.Condition) {
	s := &api.Status{Conditions: conditions}
	if ready := s.Condition(api.Ready); ready.Status == api.Unknown {
		a.noteOutage(ready.Message)
	}
}

// objectsOf gets each item whole; one that was deleted since the list is left out.
func (a *app) objectsOf(ctx context.Context, c *Client, items []container) ([]json.RawMessage, error) {
	objects := make([]json.RawMessage, 0, len(items))
	for _, item := range items {
		object, err := a.object(ctx, c, item.ID)
		if refusedAs(err, api.ContainerNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func (a *app) object(ctx context.Context, c *Client, name string) (json.RawMessage, error) {
	var answer struct {
		Container json.RawMessage `json:"container"`
	}
	err := a.ask(ctx, c, api.GetContainer, map[string]any{"container_id": name}, &answer)
	if err == nil && len(answer.Container) == 0 {
		err = fmt.Errorf("%w: no container in the answer", errMalformed)
	}
	return answer.Container, err
}

// itemOf is a whole object, flat.
func itemOf(object json.RawMessage) (container, error) {
	var whole struct {
		ID      string    `json:"id"`
		Name    string    `json:"name"`
		Created time.Time `json:"created_at"`

		Deleted *time.Time `json:"deleted_at"`
		Spec    struct {
			Image string `json:"image"`
		} `json:"spec"`
		Status struct {
			State    string                `json:"state"`
			Health   string                `json:"health"`
			Restarts int                   `json:"restart_count"`
			Ports    map[string]publishing `json:"ports"`

			Conditions []api.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(object, &whole); err != nil {
		return container{}, fmt.Errorf("read the container: %w", err)
	}
	s := whole.Status
	seen := &api.Status{Conditions: s.Conditions}
	lasts, reason := seen.Condition(api.Available).Status == api.True, seen.Trouble()
	return container{whole.ID, whole.Name, s.State, lasts, reason, s.Health, s.Restarts, whole.Created, whole.Spec.Image, s.Ports, whole.Deleted, s.Conditions}, nil
}

func containerTable(items []container, now time.Time) *table {
	t := &table{header: containerHeader()}
	for _, i := range items {
		t.add(i.cells(now)...)
	}
	return t
}

// gone is the state that is shown of a container that was deleted.
const gone = "deleted"

// ageColumn is that which changes by itself.
const ageColumn = 6

func containerHeader() []string {
	return []string{"NAME", "ID", "STATE", "AVAILABLE", "HEALTH", "RESTARTS", "AGE", "IMAGE", "PORTS"}
}

func (c *container) cells(now time.Time) []string {
	return []string{c.Name, c.ID, c.state(), c.available(), c.Health, strconv.Itoa(c.Restarts), age(now.Sub(c.Created)), c.Image, portList(c.Ports)}
}

// state is how the container is, and what is wrong with it, or that it is being deleted.
func (c *container) state() string {
	if c.Deleted != nil && c.State != gone {
		return c.State + " (being deleted)"
	}
	if c.Reason == "" {
		return c.State
	}
	return c.State + " (" + c.Reason + ")"
}

// available tells whether this run is ready and has lasted.
func (c *container) available() string {
	if c.Lasts {
		return "yes"
	}
	return "no"
}

func portList(ports map[string]publishing) string {
	list := make([]string, 0, len(ports))
	for _, inside := range slices.Sorted(maps.Keys(ports)) {
		list = append(list, string(ports[inside])+"->"+inside)
	}
	return strings.Join(list, ",")
}
