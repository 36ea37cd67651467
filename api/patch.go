package api

import "encoding/json"

// maxPatchDepth bounds the nesting of a patch; a spec is three levels deep.
const maxPatchDepth = 8

// MergePatch applies a JSON merge patch (RFC 7396) to a spec: what the patch does not name stays, null returns a field to
// its default. The result has its defaults; it is not validated. A key that is given twice is refused, which the standard
// leaves open.
func MergePatch(s *Spec, patch json.RawMessage, name string) (Spec, []FieldError) {
	d := decoding{}
	merged := d.merge(Encode(s), patch, "spec", 0)
	if len(d.bad) > 0 {
		return Spec{}, d.bad
	}
	var patched Spec
	bad := Decode(merged, &patched)
	for i := range bad {
		bad[i].Field = join("spec", bad[i].Field)
	}
	patched.Default(name)
	return patched, bad
}

// merge gives target with patch merged into it, both JSON objects.
func (d *decoding) merge(target, patch json.RawMessage, path string, depth int) json.RawMessage {
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
			delete(members, key)
		case "an object":
			members[key] = d.merge(members[key], value, join(path, key), depth+1)
		default:
			members[key] = value
		}
	})
	return Encode(members)
}
