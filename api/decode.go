package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/flow-manager/flow-manager/api/rawjson"
)

// Decode reads one JSON object into the struct that into points to and reports every bad field at once: unknown and
// repeated ones, wrong types, nulls. Keys match exactly. A json.RawMessage field takes any value.
func Decode(data []byte, into any) []FieldError {
	d := decoding{}
	d.object(data, "", reflect.ValueOf(into).Elem())
	return d.bad
}

type decoding struct{ bad []FieldError }

// maxFieldErrors keeps an answer small when a client sends a hundred thousand unknown keys.
const maxFieldErrors = 100

func (d *decoding) fail(path, format string, args ...any) {
	if path == "" {
		path = "."
	}
	if len(d.bad) < maxFieldErrors {
		d.bad = append(d.bad, FieldError{clip(path), fmt.Sprintf(format, args...)})
	}
}

func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:200], "") + ".."
}

// unknown says that there is no field key among fields, and which one was most likely meant.
func (d *decoding) unknown(path, key string, fields map[string][]int) {
	message := "is not a known field"
	if meant := Similar(key, maps.Keys(fields)); meant != "" {
		message += "; did you mean " + meant + "?"
	} else if len(d.bad) == 0 { // said once is enough
		message += "; these are: " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	}
	d.fail(join(path, key), "%s", message)
}

// object decodes data into the fields of the struct v.
func (d *decoding) object(data []byte, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	d.members(data, path, func(key string, raw json.RawMessage) {
		index, known := fields[key]
		if !known {
			d.unknown(path, key, fields)
			return
		}
		d.value(raw, join(path, key), v.FieldByIndex(index))
	})
}

// members calls each for every member of the object in data, and once per repeated key complains.
func (d *decoding) members(data []byte, path string, each func(key string, raw json.RawMessage)) {
	object, err := rawjson.Parse(data)
	if err == rawjson.ErrNotObject {
		d.fail(path, "must be an object, not %s", kind(data))
		return
	}
	if err != nil {
		d.fail(path, "is not valid JSON")
		return
	}
	seen := make(map[string]bool, len(object))
	for i := range object {
		key := object[i].Key()
		if seen[key] {
			d.fail(join(path, key), "is given twice")
			continue
		}
		seen[key] = true
		if strings.ContainsRune(key, utf8.RuneError) {
			d.fail(join(path, key), "has a name that is no text: half of a surrogate pair, or U+FFFD in its place")
			continue
		}
		each(key, object[i].Value)
	}
}

func (d *decoding) value(raw json.RawMessage, path string, v reflect.Value) {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(raw)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		if err := u.UnmarshalJSON(raw); err != nil {
			d.fail(path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(raw, path, v)
	case reflect.Map:
		d.mapping(raw, path, v)
	case reflect.Slice:
		d.list(raw, path, v)
	default:
		d.scalar(raw, path, v)
	}
}

func (d *decoding) mapping(raw json.RawMessage, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.members(raw, path, func(key string, raw json.RawMessage) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(raw, join(path, key), item)
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

func (d *decoding) list(raw json.RawMessage, path string, v reflect.Value) {
	var items []json.RawMessage
	if kind(raw) != "an array" || json.Unmarshal(raw, &items) != nil {
		d.fail(path, "must be an array, not %s", kind(raw))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (d *decoding) scalar(raw json.RawMessage, path string, v reflect.Value) {
	if v.Kind() == reflect.String && kind(raw) == "a string" && bytes.IndexByte(raw, '\\') < 0 {
		v.SetString(rawjson.Unquote(raw))
		return
	}
	if v.Kind() == reflect.String && halfPair(raw) {
		d.fail(path, "has half of a surrogate pair, which is no character")
		return
	}
	if kind(raw) != "null" && json.Unmarshal(raw, v.Addr().Interface()) == nil {
		return
	}
	if kind(raw) == "null" {
		d.fail(path, "must be %s, not null; leave it out for its default", wanted(v.Kind()))
		return
	}
	d.fail(path, "must be %s, not %s", wanted(v.Kind()), shown(raw))
}

// halfPair finds an escaped surrogate without its partner in valid JSON. encoding/json puts another character in its place, and
// what is stored has to be what was sent.
func halfPair(raw json.RawMessage) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i+1 < len(raw); {
		r, size := codeUnit(raw[i:]), 2
		if r >= 0 {
			size = 6
		}
		if utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, codeUnit(raw[i+size:])) == utf8.RuneError {
				return true
			}
			size = 12
		}
		next := bytes.IndexByte(raw[i+size:], '\\')
		if next < 0 {
			return false
		}
		i += size + next
	}
	return false
}

// codeUnit is the code unit of the \u escape that b begins with, or -1.
func codeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

var fieldsByType sync.Map // of reflect.Type to what fieldsOf gives for it

// fieldsOf maps the JSON names of a struct's fields, those of embedded structs included, to where they are.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fieldsByType.Load(t); ok {
		return known.(map[string][]int)
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[name] = f.Index
		}
	}
	fieldsByType.Store(t, fields)
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	default:
		return "a whole number"
	}
}

func kind(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// shown is the value itself where it is a short number, and only its kind elsewhere: a value may be a secret.
func shown(raw json.RawMessage) string {
	if k := kind(raw); k != "a number" || len(raw) > 30 {
		return k
	}
	return string(raw)
}
