package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// board is what get --watch has shown so far. It starts from a list and follows what has changed since the list's version;
// where that is too long ago for the server, or some of it was lost, it lists again and shows the differences.
type board struct {
	app     *app
	names   []string // ids, once they are known
	labels  map[string]string
	shown   map[string]sighting // by id; nil until the first list
	version string              // up to which all has been shown; empty: list
	columns columns
	headed  bool
}

func (a *app) newBoard(names []string, labels map[string]string) *board {
	return &board{app: a, names: names, labels: labels, columns: columns{[]int{16, 20, 10, 9, 9, 8, 4, 24}}} // the first may be few
}

// sighting is a container as it was seen at a time; object is nil where it is of a list.
type sighting struct {
	container
	object json.RawMessage
	key    string // another one: there is something new to show
}

// change is what is shown of a container.
type change struct {
	kind string
	sighting
}

func (b *board) begin(ctx context.Context, c *Client) error {
	if b.version != "" {
		err := b.subscribe(ctx, c)
		if !refusedAs(err, api.ResourceExpiredError) {
			return err
		}
	}
	if err := b.list(ctx, c); err != nil {
		return err
	}
	return b.subscribe(ctx, c)
}

func (b *board) subscribe(ctx context.Context, c *Client) error {
	request := map[string]any{"events": []string{api.ContainerChanged}, "resource_version": b.version}
	if len(b.labels) > 0 {
		request["labels"] = b.labels
	}
	if len(b.names) > 0 {
		request["container_ids"] = b.names
	}
	_, err := b.app.subscribe(ctx, c, request)
	return err
}

// list shows what differs from what was shown, and what is gone.
func (b *board) list(ctx context.Context, c *Client) error {
	seen, version, err := b.look(ctx, c)
	if err != nil {
		return err
	}
	gone := maps.Clone(b.shown)
	if b.shown == nil {
		b.shown = map[string]sighting{}
	}
	var changes []change
	for _, s := range seen {
		delete(gone, s.ID)
		changes = append(changes, b.update(s)...)
	}
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		changes = append(changes, b.remove(gone[id])...)
	}
	b.version = version
	return b.print(changes)
}

// look sees all containers that are wanted, and a version before which nothing has to be looked at again.
func (b *board) look(ctx context.Context, c *Client) ([]sighting, string, error) {
	if len(b.names) > 0 {
		return b.lookAt(ctx, c)
	}
	all, err := b.app.list(ctx, c, listing{labels: b.labels})
	if err != nil {
		return nil, "", err
	}
	if b.app.output != "table" {
		objects, err := b.app.objectsOf(ctx, c, all.items)
		if err != nil {
			return nil, "", err
		}
		seen, err := b.sightings(objects)
		return seen, all.version, err
	}
	seen := make([]sighting, 0, len(all.items))
	for _, item := range all.items {
		seen = append(seen, sighting{container: item, key: rowKey(item)})
	}
	return seen, all.version, nil
}

// lookAt sees those that were named; one that is not there is an error the first time.
func (b *board) lookAt(ctx context.Context, c *Client) ([]sighting, string, error) {
	version, err := b.app.version(ctx, c)
	if err != nil {
		return nil, "", err
	}
	var objects []json.RawMessage
	for _, name := range b.names {
		object, err := b.app.object(ctx, c, name)
		if b.shown != nil && refusedAs(err, api.ContainerNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, object)
	}
	seen, err := b.sightings(objects)
	if b.shown == nil {
		b.names = nil
		for _, s := range seen {
			b.names = append(b.names, s.ID)
		}
	}
	return seen, version, err
}

func (b *board) sightings(objects []json.RawMessage) ([]sighting, error) {
	seen := make([]sighting, 0, len(objects))
	for _, o := range objects {
		s, err := b.sighting(o)
		if err != nil {
			return nil, err
		}
		seen = append(seen, s)
	}
	return seen, nil
}

func (b *board) sighting(object json.RawMessage) (sighting, error) {
	item, err := itemOf(object)
	key := rowKey(item)
	if b.app.output != "table" {
		key = versionOf(object)
	}
	return sighting{item, object, key}, err
}

// rowKey is a row without what changes by itself.
func rowKey(c container) string {
	return strings.Join(slices.Delete(c.cells(c.Created), ageColumn, ageColumn+1), "\x00")
}

func (b *board) hear(e Event) error {
	switch e.Name {
	case api.EventsDropped:
		b.version = ""
		return errAnew
	case api.ContainerChanged:
		return b.changed(e)
	}
	return nil
}

func (b *board) changed(e Event) error {
	var body struct {
		Type      string          `json:"type"`
		Container json.RawMessage `json:"container"`
	}
	if err := json.Unmarshal(e.Data, &body); err != nil {
		return fmt.Errorf("%w: %s %.100q", errMalformed, e.Name, e.Data)
	}
	s, err := b.sighting(body.Container)
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	changes := b.update
	if body.Type == "deleted" {
		changes = b.remove
	}
	if version := versionOf(e.Data); version != "" {
		b.version = version
	}
	return b.print(changes(s))
}

// update notes what s shows, and gives it where that is new.
func (b *board) update(s sighting) []change {
	old, known := b.shown[s.ID]
	if known && old.key == s.key {
		return nil
	}
	b.shown[s.ID] = s
	if known {
		return []change{{"modified", s}}
	}
	return []change{{"added", s}}
}

func (b *board) remove(s sighting) []change {
	old, known := b.shown[s.ID]
	if !known {
		return nil
	}
	delete(b.shown, s.ID)
	if s.Name == "" { // of an old deletion only the id is known
		s.container = old.container
	}
	s.State, s.Lasts = gone, false
	return []change{{"deleted", s}}
}

func (b *board) print(changes []change) error {
	if b.app.output != "table" {
		return b.printObjects(changes)
	}
	var rows [][]string
	if !b.headed {
		rows, b.headed = append(rows, containerHeader()), true
	}
	for _, c := range changes {
		rows = append(rows, c.cells(time.Now()))
	}
	return b.app.write(b.columns.text(rows...))
}

func (b *board) printObjects(changes []change) error {
	for _, c := range changes {
		object, err := encode(struct {
			Type      string          `json:"type"`
			Container json.RawMessage `json:"container"`
		}{c.kind, c.object})
		if err != nil {
			return err
		}
		if err := b.app.printNext(object); err != nil {
			return err
		}
	}
	return nil
}
