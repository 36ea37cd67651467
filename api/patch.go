package api

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// maxPatchDepth bounds the nesting of a patch; a spec is three levels deep.
const maxPatchDepth = 8

// MergePatch applies a JSON merge patch (RFC 7396) to a spec: what the patch does not name stays, null returns a field to
// its default. The result has its defaults; it is not validated. A key that is given twice is refused, which the standard
// leaves open.
func MergePatch(s *Spec, patch json.RawMessage, name string) (Spec, []FieldError) {
	d := decoding{}
	merged := d.merge(Encode(s), patch, "spec", reflect.TypeFor[Spec](), 0)
	if len(d.bad) > 0 {
		return Spec{}, d.bad
	}
	var patched Spec
	bad := Decode(merged, &patched)
	for i := range bad {
		bad[i].Field = join("spec", bad[i].Field)
	}
	patched.Default(name)
	return patched, append(bad, neverThere(patch)...)
}

// neverThere names what a patch takes out of the maps of a spec under names that nothing there can have: whoever asks for that
// means something else.
func neverThere(patch json.RawMessage) []FieldError {
	var maps struct{ Environment, Volumes, Ports map[string]json.RawMessage }
	_ = json.Unmarshal(patch, &maps) // that the patch is sound is judged elsewhere
	probe, v := Spec{Environment: map[string]string{}, Volumes: map[string]string{}}, validation{}
	for key, value := range maps.Environment {
		if kind(value) == "null" {
			probe.Environment[key] = ""
		}
	}
	for key, value := range maps.Volumes {
		if kind(value) == "null" {
			probe.Volumes[key] = fmt.Sprint("/", len(probe.Volumes))
		}
	}
	for key, value := range maps.Ports {
		if kind(value) == "null" {
			v.ports(map[string]HostPort{key: {}})
		}
	}
	v.environment(probe.Environment)
	v.volumes(&probe)
	for i := range v.bad {
		v.bad[i].Field = join("spec", v.bad[i].Field)
	}
	return v.bad
}

// merge gives target with patch merged into it, both JSON objects that stand for an of. What it takes away would not be missed
// by who decodes the result, so the names of that are judged here.
func (d *decoding) merge(target, patch json.RawMessage, path string, of reflect.Type, depth int) json.RawMessage {
	if depth == maxPatchDepth {
		d.fail(path, "is nested too deeply")
		return nil
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(target, &members) != nil || members == nil {
		members = map[string]json.RawMessage{} // what is no object is replaced by one
	}
	d.members(patch, path, func(key string, value json.RawMessage) {
		switch kind(value) {
		case "null":
			if _, known := member(of, key); !known {
				d.unknown(path, key, fieldsOf(of))
			}
			delete(members, key)
		case "an object":
			inner, _ := member(of, key)
			members[key] = d.merge(members[key], value, join(path, key), inner, depth+1)
		default:
			members[key] = value
		}
	})
	return Encode(members)
}

// member is the type of what t calls key, nil where it is not looked into; false: there is no such thing. A map may have any key.
func member(t reflect.Type, key string) (of reflect.Type, known bool) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil, true
	}
	index, known := fieldsOf(t)[key]
	if !known {
		return nil, false
	}
	of = t.FieldByIndex(index).Type
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return of, true
}
