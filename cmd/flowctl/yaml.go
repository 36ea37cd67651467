package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flow-manager/flow-manager/api"
)

// form is what documents are read as: where text is wanted, what is written stays the text that it is.
type form struct {
	of reflect.Type
	// nulls tells that null says something: it does in a merge patch.
	nulls bool
}

// declaration is what a container can be declared by: flat, or as get prints it.
type declaration struct {
	api.Spec
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Nested api.Spec          `json:"spec"`
}

func declarations() form { return form{of: reflect.TypeFor[declaration]()} }

func patches() form { return form{of: reflect.TypeFor[api.Spec](), nulls: true} }

func (p part) yaml(file string, of form) ([]document, error) {
	// Blank lines stand for those above, so that an error names the line of the file.
	padded := append(bytes.Repeat([]byte("\n"), p.line-1), p.text...)
	var node yaml.Node
	var value any
	if err := yaml.Unmarshal(padded, &node); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := node.Decode(&value); err != nil { // it knows more of what is no YAML than we do
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if value == nil {
		return nil, nil // nothing but comments
	}
	r := yamlReader{file: file, nulls: of.nulls, lines: map[string]string{}}
	value = r.read(node.Content[0], of.of, "")
	if err := r.bad.orNil(); err != nil {
		return nil, err
	}
	raw, err := encode(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d, err := newDocument(fmt.Sprintf("%s:%d", file, node.Content[0].Line), raw)
	d.lines = r.lines
	return []document{d}, err
}

// yamlReader makes JSON of YAML, in which more is a number than in JSON: a reader may take 0123 for 83, 1.10 for 1.1, and a date for
// a moment. It keeps what is written where text is wanted, and refuses elsewhere what is not the same to all.
type yamlReader struct {
	file  string
	nulls bool
	lines map[string]string
	bad   several
}

func (r *yamlReader) fail(n *yaml.Node, path, format string, args ...any) {
	about := fmt.Sprintf("%s:%d: ", r.file, n.Line)
	if path != "" {
		about += path + ": "
	}
	r.bad = append(r.bad, fmt.Errorf(about+format, args...))
}

// read gives the value of a node for what is of a type, nil for what has none that is known.
func (r *yamlReader) read(n *yaml.Node, of reflect.Type, path string) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if path != "" {
		r.lines[path] = fmt.Sprintf("%s:%d", r.file, n.Line)
	}
	if of != nil && of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch n.Kind {
	case yaml.MappingNode:
		members := map[string]any{}
		r.readMembers(n, of, path, members, false)
		return members
	case yaml.SequenceNode:
		items := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			items = append(items, r.read(item, elementOf(of), fmt.Sprintf("%s[%d]", path, i)))
		}
		return items
	}
	if of != nil && of.Kind() == reflect.String {
		return r.text(n, path)
	}
	return r.scalar(n, path)
}

// readMembers reads the members of a mapping. Those that are merged into it do not replace what is there.
func (r *yamlReader) readMembers(n *yaml.Node, of reflect.Type, path string, into map[string]any, merged bool) {
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.ShortTag() == "!!merge" {
			defer r.merge(value, of, path, into)
			continue
		}
		at := joinPath(path, key.Value)
		_, there := into[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, path, "a key must be text")
		case there && !merged:
			r.fail(key, at, "is given twice")
		case !there:
			into[key.Value] = r.read(value, memberOf(of, key.Value), at)
		}
	}
}

// merge takes in what << names: one mapping, or several, of which the first wins.
func (r *yamlReader) merge(n *yaml.Node, of reflect.Type, path string, into map[string]any) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	sources := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		sources = n.Content
	}
	for _, source := range sources {
		if source.Kind == yaml.AliasNode {
			source = source.Alias
		}
		r.readMembers(source, of, path, into, true)
	}
}

// text is a scalar where text is wanted.
func (r *yamlReader) text(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
		return n.Value
	case "!!null":
		if !r.nulls {
			r.fail(n, path, `nothing stands where text is wanted; write "" for an empty one, or put it in quotes`)
		}
		return nil
	}
	r.fail(n, path, "text is wanted here, and not what is tagged %s; put it in quotes", n.Tag)
	return nil
}

// scalar is one where something else is wanted, or anything.
func (r *yamlReader) scalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!str", "!!merge":
		return n.Value
	case "!!null":
		return nil
	case "!!bool":
		var is bool
		if n.Decode(&is) == nil {
			return is
		}
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value)
		}
	}
	r.fail(n, path, "%s is not the same to all who read YAML; write a number in decimal digits, and put it in quotes where it is text", n.Value)
	return nil
}

func elementOf(t reflect.Type) reflect.Type {
	if t != nil && t.Kind() == reflect.Slice {
		return t.Elem()
	}
	return nil
}

func memberOf(t reflect.Type, key string) reflect.Type {
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() != reflect.Struct:
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == key && !f.Anonymous {
			return f.Type
		}
	}
	return nil
}
