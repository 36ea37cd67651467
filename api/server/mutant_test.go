package server

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// mutant is a request of which one thing was changed.
type mutant struct {
	field string // where
	body  string
	edge  bool // made from a bound of the schema; where that lets it through, the server has to do so, too
	whole bool // an object or array, of which the server may name a part
}

// mutants changes every field of a request that the document knows, in every way there is: left out, null, of every other
// type, below and above its bounds, and with a sibling that does not exist.
func mutants(d *asyncapi.Document, schema map[string]any, base map[string]any) []mutant {
	m := &mutation{document: d, base: base}
	m.object(schema, nil, "")
	return m.made
}

type mutation struct {
	document *asyncapi.Document
	base     map[string]any
	made     []mutant
}

func (m *mutation) object(schema map[string]any, at []string, path string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		m.add(mutant{field: under(path, name.(string))}, nil, append(slices.Clone(at), name.(string)))
	}
	if schema["additionalProperties"] == false {
		m.add(mutant{field: under(path, "no_such_field")}, json.RawMessage(`1`), append(slices.Clone(at), "no_such_field"))
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if property := m.document.Resolve(properties[name]); name != "message" {
			m.value(property, append(slices.Clone(at), name), under(path, name))
		} else {
			m.values(property, append(slices.Clone(at), name), name) // what is in a message is its flow's business
		}
	}
}

func (m *mutation) value(schema map[string]any, at []string, path string) {
	m.values(schema, at, path)
	for _, s := range m.alternatives(schema) {
		if s["properties"] != nil {
			m.object(s, at, path)
		}
		if entry, ok := s["additionalProperties"].(map[string]any); ok {
			m.entries(m.document.Resolve(entry), at, path)
		}
		if item, ok := s["items"].(map[string]any); ok {
			for _, v := range m.candidates(m.document.Resolve(item)) {
				m.add(mutant{field: path + "[0]", whole: v.whole}, json.RawMessage("["+v.text+"]"), at)
			}
		}
	}
}

// alternatives are a schema and what it is any of.
func (m *mutation) alternatives(schema map[string]any) []map[string]any {
	all := []map[string]any{schema}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		list, _ := schema[keyword].([]any)
		for _, s := range list {
			all = append(all, m.alternatives(m.document.Resolve(s))...)
		}
	}
	return all
}

func (m *mutation) values(schema map[string]any, at []string, path string) {
	for _, v := range m.candidates(schema) {
		m.add(mutant{field: path, edge: v.edge, whole: v.whole}, json.RawMessage(v.text), at)
	}
}

// entries changes the values of a map, and its keys.
func (m *mutation) entries(schema map[string]any, at []string, path string) {
	key, value := "KEY", `"x"`
	switch at[len(at)-1] {
	case "ports":
		key, value = "80", `8080`
	case "volumes":
		key, value = "data", `"/data"`
	}
	for _, v := range m.candidates(schema) {
		m.add(mutant{field: under(path, key), whole: v.whole}, json.RawMessage(v.text), append(slices.Clone(at), key))
	}
	for _, bad := range []string{"", "a=b", "FLOW_SOCKET", "FLOW_CONTAINER_X", "io.flow-manager.x", "x\x00", "0", "65536", "080", "80/xyz", "../x", "/a/../b", "/a//b", "/a/", "x"} {
		m.add(mutant{field: under(path, bad)}, json.RawMessage(value), append(slices.Clone(at), bad))
	}
}

// candidate is the text of a value.
type candidate struct {
	text        string
	edge, whole bool
}

// candidates are values of all types, and those on and beyond the bounds of a schema.
func (m *mutation) candidates(schema map[string]any) []candidate {
	list := []candidate{
		{text: `null`}, {text: `true`}, {text: `"x"`}, {text: `1.5`}, {text: `-1`}, {text: `7`}, {text: `[]`, whole: true}, {text: `{}`, whole: true}, {text: `[[]]`, whole: true},
		{text: `""`}, {text: `"no good!"`}, {text: `"x\u0000"`}, {text: `"../x"`}, {text: `"/x/../y"`}, {text: `"/x//y"`}, {text: `"/x/"`}, {text: `"/"`}, {text: `"/proc/x:ro"`},
		{text: `"0123456789abcdefghij"`}, {text: `"abcdefabcdef"`}, {text: `"1.2.3.4"`}, {text: `1e309`}, {text: `9223372036854775808`}, {text: `"` + strings.Repeat("a", 5000) + `"`},
	}
	for _, s := range m.alternatives(schema) {
		list = append(list, bounds(s)...)
	}
	return list
}

func bounds(s map[string]any) []candidate {
	var list []candidate
	for keyword, beyond := range map[string]int64{"minimum": -1, "maximum": 1} {
		if n, ok := s[keyword].(int); ok {
			list = append(list, candidate{text: plus(n, 0), edge: true}, candidate{text: plus(n, beyond)})
		}
	}
	if n, ok := s["exclusiveMinimum"].(int); ok {
		list = append(list, candidate{text: plus(n, 0)})
	}
	if n, ok := s["minLength"].(int); ok && n > 0 {
		list = append(list, candidate{text: `"` + strings.Repeat("b", n-1) + `"`})
	}
	if n, ok := s["maxLength"].(int); ok {
		list = append(list, candidate{text: `"` + strings.Repeat("b", n+1) + `"`})
	}
	words, _ := s["enum"].([]any)
	for _, w := range words {
		list = append(list, candidate{text: `"` + w.(string) + `"`, edge: true}, candidate{text: `"` + strings.ToUpper(w.(string)) + ` "`})
	}
	return list
}

func plus(n int, more int64) string {
	return new(big.Int).Add(big.NewInt(int64(n)), big.NewInt(more)).String()
}

// add makes the mutant's body: the base with a value at a place, nil for nothing there.
func (m *mutation) add(made mutant, value any, at []string) {
	body, _ := json.Marshal(placed(m.base, value, at)) // of maps and raw JSON that was written here
	made.body = string(body)
	m.made = append(m.made, made)
}

func placed(base map[string]any, value any, at []string) map[string]any {
	next := maps.Clone(base)
	if next == nil {
		next = map[string]any{}
	}
	switch {
	case len(at) > 1:
		inner, _ := next[at[0]].(map[string]any)
		next[at[0]] = placed(inner, value, at[1:])
	case value == nil:
		delete(next, at[0])
	default:
		next[at[0]] = value
	}
	return next
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
