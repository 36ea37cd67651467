package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/flow-manager/flow-manager/api"
)

// say prints a line, where lines are what is wanted.
func (a *app) say(format string, args ...any) error {
	if a.output != "table" {
		return nil
	}
	return a.write([]byte(api.Printable(fmt.Sprintf(format, args...)) + "\n"))
}

func (a *app) write(text []byte) error {
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// note tells on stderr what is neither result nor error, and is not in the way of a line of progress.
func (a *app) note(format string, args ...any) {
	text := api.Printable(a.secrets().Certain(oneLine(fmt.Sprintf(format, args...))))
	tell := func() error {
		_, err := fmt.Fprintln(a.stderr, text)
		return err
	}
	if a.shown != nil {
		_ = a.shown.aside(tell) // there is nowhere to say that it failed
		return
	}
	_ = tell()
}

// printObjects prints JSON objects as JSON or YAML; a list is an array of JSON, or one YAML document each.
func (a *app) printObjects(objects []json.RawMessage, list bool) error {
	if a.output == "yaml" {
		return a.printYAML(objects)
	}
	if list {
		array := append([]byte("["), bytes.Join(raws(objects), []byte(","))...)
		objects = []json.RawMessage{append(array, ']')}
	}
	for _, o := range objects {
		text, err := jsonText(o)
		if err != nil {
			return err
		}
		if err := a.write(text); err != nil {
			return err
		}
	}
	return nil
}

func raws(objects []json.RawMessage) [][]byte {
	all := make([][]byte, len(objects))
	for i, o := range objects {
		all[i] = o
	}
	return all
}

func (a *app) printYAML(objects []json.RawMessage) error {
	for i, o := range objects {
		text, err := yamlText(o)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if err := a.write(text); err != nil {
			return err
		}
	}
	return nil
}

// printLine prints JSON on one line.
func (a *app) printLine(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("format the answer: %w", err)
	}
	return a.write(append(api.PrintableJSON(b.Bytes()), '\n'))
}

// printNext prints one of many objects that come one by one: JSON on a line, or a document of YAML.
func (a *app) printNext(object json.RawMessage) error {
	if a.output != "yaml" {
		return a.printLine(object)
	}
	text, err := yamlText(object)
	if err != nil {
		return err
	}
	return a.write(append([]byte("---\n"), text...))
}

func jsonText(raw json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("format the answer: %w", err)
	}
	return append(api.PrintableJSON(b.Bytes()), '\n'), nil
}

// yamlText is YAML, in its plain style unless that would show a terminal what it must not see, or would not be read as what it
// says: then in the style of JSON, which is YAML too.
func yamlText(raw json.RawMessage) ([]byte, error) {
	text, err := plainYAML(raw)
	if err == nil && bytes.Equal(api.PrintableJSON(text), text) {
		return text, nil
	}
	return jsonText(raw)
}

// plainYAML keeps the order of keys and every digit of a number. It fails where readers would take it for something else: the encoder
// writes some text so, as that which begins with a blank line.
func plainYAML(raw json.RawMessage) ([]byte, error) {
	var node, read yaml.Node
	if err := yaml.Unmarshal(escaped(raw), &node); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	unstyle(&node)
	text, err := yaml.Marshal(&node)
	if err != nil || yaml.Unmarshal(text, &read) != nil || !sameNode(&node, &read) {
		return nil, errMalformed
	}
	return text, nil
}

// escaped has no raw characters in JSON's strings that end a line in YAML.
func escaped(raw json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return api.PrintableJSON(b.Bytes())
}

func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.ShortTag() == b.ShortTag() && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, sameNode)
}

// unstyle forgets JSON's braces, and its quotes where no reader of YAML needs them.
func unstyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !needsQuotes(n.Value) {
		n.Style = 0
	}
	for _, inside := range n.Content {
		unstyle(inside)
	}
}

// needsQuotes asks the encoder, which knows what readers of older YAML take for a boolean or a time, but asks itself for
// Go's strings only and not for nodes.
func needsQuotes(s string) bool {
	text, err := yaml.Marshal(s)
	return err != nil || text[0] == '"' || text[0] == '\''
}
