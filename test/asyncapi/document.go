// Package asyncapi judges what goes over the wire by api/asyncapi.yaml. It is for tests: in both directions it is stricter
// than a client should be, since what a message has beyond its schema is at fault there, too.
package asyncapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/flow-manager/flow-manager/api"
)

const location = "mem:///asyncapi.json"

// Document is the AsyncAPI document, its schemas compiled.
type Document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	messages map[string]*jsonschema.Schema
}

// Load reads the document that the manager serves.
func Load() (*Document, error) {
	var root map[string]any
	if err := yaml.Unmarshal([]byte(api.AsyncAPI()), &root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	seal(root)
	d := &Document{root, jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft7) // AsyncAPI's schemas are a superset of it
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, root); err != nil {
		return nil, fmt.Errorf("take in the document: %w", err)
	}
	for name := range d.components("messages") {
		schema, err := d.compiler.Compile(location + "#/components/messages/" + name + "/payload")
		if err != nil {
			return nil, fmt.Errorf("compile the payload of %s: %w", name, err)
		}
		d.messages[name] = schema
	}
	return d, nil
}

// seal closes every schema that lists its properties and does not say itself whether there may be others. What only adds a
// condition to another schema has no type, or stands in an allOf.
func seal(node any) {
	switch n := node.(type) {
	case map[string]any:
		_, lists := n["properties"].(map[string]any)
		if _, says := n["additionalProperties"]; lists && !says && n["type"] != nil && n["required"] != nil {
			n["additionalProperties"] = false
		}
		for key, child := range n {
			if key != "allOf" {
				seal(child)
			}
		}
	case []any:
		for _, child := range n {
			seal(child)
		}
	}
}

func (d *Document) components(kind string) map[string]any {
	return d.root["components"].(map[string]any)[kind].(map[string]any)
}

// Messages names all messages, acknowledgements included, in order.
func (d *Document) Messages() []string { return slices.Sorted(maps.Keys(d.messages)) }

// Operation is a request as the document has it.
type Operation struct {
	Name, Role, Ack string
	Answers         []string       // the events that may follow, without error
	Schema          map[string]any // of the request, resolved once
	Example         map[string]any
}

// Operations lists the requests by name.
func (d *Document) Operations() []Operation {
	var list []Operation
	all := d.root["operations"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o := all[name].(map[string]any)
		if o["action"] != "receive" {
			continue
		}
		message := d.components("messages")[name].(map[string]any)
		op := Operation{Name: name, Role: message["x-role"].(string), Schema: d.Resolve(message["payload"])}
		op.Example = message["examples"].([]any)[0].(map[string]any)["payload"].(map[string]any)
		for _, ref := range o["reply"].(map[string]any)["messages"].([]any) {
			op.answeredBy(base(ref))
		}
		list = append(list, op)
	}
	return list
}

func (o *Operation) answeredBy(message string) {
	switch {
	case strings.HasPrefix(message, "ack_"):
		o.Ack = message
	case message != api.ErrorEvent:
		o.Answers = append(o.Answers, message)
	}
}

// News names the events of the operation that sends them to every session.
func (d *Document) News() []string {
	var names []string
	for _, ref := range d.root["operations"].(map[string]any)["tell"].(map[string]any)["messages"].([]any) {
		names = append(names, base(ref))
	}
	return names
}

func base(ref any) string {
	path := ref.(map[string]any)["$ref"].(string)
	return path[strings.LastIndexByte(path, '/')+1:]
}

// Resolve follows a schema's $ref, and gives the properties of an allOf's first part to the whole.
func (d *Document) Resolve(schema any) map[string]any {
	s := schema.(map[string]any)
	if s["$ref"] != nil {
		return d.Resolve(d.components("schemas")[base(s)])
	}
	parts, ok := s["allOf"].([]any)
	if !ok {
		return s
	}
	whole := maps.Clone(d.Resolve(parts[0]))
	required, _ := whole["required"].([]any)
	for _, part := range parts[1:] {
		more, _ := part.(map[string]any)["required"].([]any)
		required = append(slices.Clone(required), more...)
	}
	whole["required"] = required
	return whole
}

// Judge says what is wrong with a message; payload is JSON.
func (d *Document) Judge(message string, payload []byte) error {
	schema, ok := d.messages[message]
	if !ok {
		return fmt.Errorf("the document has no message %q", message)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(payload)))
	if err != nil {
		return fmt.Errorf("read %s: %w", message, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s %s: %w", message, payload, err)
	}
	return nil
}

// Ack names the message that acknowledges a request.
func (d *Document) Ack(request string) string {
	for _, o := range d.Operations() {
		if o.Name == request {
			return o.Ack
		}
	}
	return ""
}

// Schema is one of the document's named schemas.
func (d *Document) Schema(name string) map[string]any {
	return d.components("schemas")[name].(map[string]any)
}
