package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/flow-manager/flow-manager/api"
)

// flat is what an apply_container says of the container itself.
type flat struct {
	api.Spec
	Name            string            `json:"name"`
	Labels          map[string]string `json:"labels"`
	ResourceVersion string            `json:"resource_version"`
}

// declarable makes of each document the body that declares it, and none unless all of them can be declared.
func declarable(documents []document) ([]document, error) {
	var bad several
	all := make([]document, 0, len(documents))
	for i := range documents {
		d := documents[i].flattened()
		bad = append(bad, d.check()...)
		all = append(all, d)
	}
	return all, bad.orNil()
}

// flattened is a document of the form that get prints, which has what is declared in its spec, as the one that declares the same. What was
// observed is left out.
func (d document) flattened() document {
	var spec map[string]json.RawMessage
	if json.Unmarshal(d.body["spec"], &spec) != nil || spec == nil {
		return d
	}
	for key, value := range d.body {
		if key == "name" || key == "labels" || !observedMember(key) {
			spec[key] = value
		}
	}
	lines := maps.Clone(d.lines)
	for path, line := range d.lines {
		if inside, ok := strings.CutPrefix(path, "spec."); ok {
			lines[inside] = line
		}
	}
	return document{d.where, spec, lines}
}

// observedMember tells what a container that get prints has beside what can be declared.
func observedMember(key string) bool {
	return memberOf(reflect.TypeFor[api.Container](), key) != nil
}

// check names all that keeps a document from being declared, and where it is written.
func (d *document) check() several {
	if bad := d.requestMembers(); len(bad) > 0 {
		return bad
	}
	raw, err := encode(d.body)
	if err != nil {
		return several{fmt.Errorf("%s: %w", d.where, err)}
	}
	in := flat{}
	fields := api.Decode(raw, &in)
	if len(fields) == 0 {
		whole := api.DeclareRequest{Spec: in.Spec, Name: in.Name, Labels: in.Labels}
		fields = append(whole.Validate(), masked(&in.Spec)...)
	}
	if len(fields) == 0 && in.Name == "" {
		fields = append(fields, api.FieldError{Field: "name", Message: "is required: it says which container this is"})
	}
	told := api.Invalid(fields...).Masked(api.NewRedactor(in.Environment))
	var bad several
	for _, f := range told.Fields {
		bad = append(bad, fmt.Errorf("%s: %s: %s", d.at(f.Field), f.Field, f.Message))
	}
	return bad
}

// requestMembers refuses what belongs to a request, and says by which flag it is given.
func (d *document) requestMembers() several {
	var bad several
	for _, key := range slices.Sorted(maps.Keys(d.body)) {
		if memberOf(reflect.TypeFor[api.Declaring](), key) == nil {
			continue
		}
		instead := map[string]string{"dry_run": "give --dry-run", "wait_seconds": "give --wait and --wait-timeout", "wait_for": "give --wait-for"}[key]
		if instead == "" {
			instead = "leave it out"
		}
		bad = append(bad, fmt.Errorf("%s: %s: is of the request, and not of the container; %s", d.at(key), key, instead))
	}
	return bad
}

// masked refuses what was printed for somebody who may not see it: it would be declared as it stands.
func masked(in *api.Spec) []api.FieldError {
	var bad []api.FieldError
	refuse := func(field, value string) {
		if value == api.Filtered {
			bad = append(bad, api.FieldError{Field: field, Message: "is masked, for it was printed for a viewer; get it as somebody who may declare, or write what it should be"})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(in.Environment)) {
		refuse("environment."+key, in.Environment[key])
	}
	for i, word := range in.Command {
		refuse(fmt.Sprintf("command[%d]", i), word)
	}
	for i, word := range in.Entrypoint {
		refuse(fmt.Sprintf("entrypoint[%d]", i), word)
	}
	return bad
}

// exported is a container that get prints, as a document that declares it: its name, its labels, and its spec, flat.
func exported(object json.RawMessage) (json.RawMessage, error) {
	var container struct {
		Name   json.RawMessage            `json:"name"`
		Labels map[string]json.RawMessage `json:"labels"`
		Spec   json.RawMessage            `json:"spec"`
	}
	if err := json.Unmarshal(object, &container); err != nil || len(container.Name) == 0 || len(container.Spec) < 2 {
		return nil, fmt.Errorf("read the container: %w", errMalformed)
	}
	text := `{"name":` + string(container.Name)
	if len(container.Labels) > 0 {
		labels, err := encode(container.Labels)
		if err != nil {
			return nil, fmt.Errorf("write the labels: %w", err)
		}
		text += `,"labels":` + string(labels)
	}
	if inside := strings.TrimSpace(string(container.Spec[1:])); inside != "}" {
		text += "," + inside
	} else {
		text += inside
	}
	return json.RawMessage(text), nil
}
