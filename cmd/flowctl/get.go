package main

import (
	"context"
	"encoding/json"
	"errors"
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
	Health   string                `json:"health"`
	Restarts int                   `json:"restart_count"`
	Created  time.Time             `json:"created"`
	Image    string                `json:"image"`
	Ports    map[string]publishing `json:"ports"`
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
	cmd := &cobra.Command{
		Use:   "get [NAME|ID...]",
		Short: "List all containers, or show some",
		Example: `  flowctl get
  flowctl get -l team=blue
  flowctl get hello -o yaml`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) > 0 && len(labels) > 0 {
				return usagef("give names or labels, not both")
			}
			return a.get(cmd.Context(), names, labels)
		},
	}
	cmd.Flags().StringToStringVarP(&labels, "label", "l", nil, "only containers that have the label `key=value`; may be given again")
	return cmd
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
	items, err := a.list(ctx, c, labels)
	if err != nil {
		return err
	}
	if a.output == "table" {
		return a.write(containerTable(items, time.Now()).text())
	}
	objects, err := a.objectsOf(ctx, c, items)
	if err != nil {
		return err
	}
	return a.printObjects(objects, true)
}

// getSome shows those that there are, and fails for each that is not.
func (a *app) getSome(ctx context.Context, c *Client, names []string) error {
	var failures several
	var objects []json.RawMessage
	for _, name := range names {
		object, err := a.object(ctx, c, name)
		switch {
		case err == nil:
			objects = append(objects, object)
		case refused(err) && len(names) > 1:
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		default:
			return err
		}
	}
	if len(objects) > 0 {
		if err := a.show(objects, len(names) > 1); err != nil {
			return err
		}
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
		items = append(items, item)
	}
	return a.write(containerTable(items, time.Now()).text())
}

// list gets all pages.
func (a *app) list(ctx context.Context, c *Client, labels map[string]string) ([]container, error) {
	var all []container
	request := map[string]any{}
	if len(labels) > 0 {
		request["labels"] = labels
	}
	for {
		var page struct {
			Containers []container `json:"containers"`
			Continue   string      `json:"continue"`
		}
		if err := a.ask(ctx, c, api.ListContainers, request, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Containers...)
		if page.Continue == "" {
			return all, nil
		}
		request["continue"] = page.Continue
	}
}

// objectsOf gets each item whole; one that was deleted since the list is left out.
func (a *app) objectsOf(ctx context.Context, c *Client, items []container) ([]json.RawMessage, error) {
	objects := make([]json.RawMessage, 0, len(items))
	for _, item := range items {
		object, err := a.object(ctx, c, item.ID)
		if f, ok := errors.AsType[*Failure](err); ok && f.Type == api.ContainerNotFound {
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
		Spec    struct {
			Image string `json:"image"`
		} `json:"spec"`
		Status struct {
			State    string                `json:"state"`
			Health   string                `json:"health"`
			Restarts int                   `json:"restart_count"`
			Ports    map[string]publishing `json:"ports"`
		} `json:"status"`
	}
	if err := json.Unmarshal(object, &whole); err != nil {
		return container{}, fmt.Errorf("read the container: %w", err)
	}
	s := whole.Status
	return container{whole.ID, whole.Name, s.State, s.Health, s.Restarts, whole.Created, whole.Spec.Image, s.Ports}, nil
}

func containerTable(items []container, now time.Time) *table {
	t := &table{header: []string{"NAME", "ID", "STATE", "HEALTH", "RESTARTS", "AGE", "IMAGE", "PORTS"}}
	for _, i := range items {
		t.add(i.Name, i.ID, i.State, i.Health, strconv.Itoa(i.Restarts), age(now.Sub(i.Created)), i.Image, portList(i.Ports))
	}
	return t
}

func portList(ports map[string]publishing) string {
	list := make([]string, 0, len(ports))
	for _, inside := range slices.Sorted(maps.Keys(ports)) {
		list = append(list, string(ports[inside])+"->"+inside)
	}
	return strings.Join(list, ",")
}
