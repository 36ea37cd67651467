package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const maxInput = 16 << 20 // bytes of one file

// document is one request body, and where it was read from.
type document struct {
	where string
	body  map[string]json.RawMessage
}

// name is that of the container, or where a document was read that does not say.
func (d *document) name() string {
	var name string
	if json.Unmarshal(d.body["name"], &name) != nil || name == "" {
		return d.where
	}
	return name
}

// readDocuments reads all files, "-" being stdin, and gives no documents unless all of them can be read.
func readDocuments(ctx context.Context, files []string, stdin io.Reader) ([]document, error) {
	var all []document
	for _, file := range files {
		data, err := readFile(ctx, file, stdin)
		if err != nil {
			return nil, err
		}
		if file == "-" {
			file = "stdin"
		}
		documents, err := parseDocuments(file, data)
		if err != nil {
			return nil, err
		}
		all = append(all, documents...)
	}
	if len(all) == 0 {
		return nil, errors.New("there is nothing to apply: the input has no documents")
	}
	return all, nil
}

func readFile(ctx context.Context, file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		data, err := readAll(ctx, stdin, maxInput)
		if err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
		return data, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: give each of its files with -f", file)
	}
	data, err := readAll(ctx, f, maxInput)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

// parseDocuments reads the documents of a YAML stream, or JSON objects one after the other.
func parseDocuments(file string, data []byte) ([]document, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s is not UTF-8 text", file)
	}
	var all []document
	for _, p := range splitStream(data) {
		parse := p.yaml
		if p.isJSON() {
			parse = p.json
		}
		documents, err := parse(file)
		if err != nil {
			return nil, err
		}
		all = append(all, documents...)
	}
	return all, nil
}

// part is what stands between two document markers.
type part struct {
	line int // of the file, where it begins, from 1
	text []byte
}

// splitStream cuts at the lines that begin with --- or ..., which YAML allows nowhere inside a document.
func splitStream(data []byte) []part {
	parts := []part{{line: 1}}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		rest, marker := cutMarker(line)
		if marker {
			parts = append(parts, part{line: number})
		}
		last := &parts[len(parts)-1]
		last.text = append(last.text, rest...)
	}
	return parts
}

// cutMarker cuts off a document marker and keeps what stands behind it.
func cutMarker(line []byte) (rest []byte, marker bool) {
	for _, m := range []string{"---", "..."} {
		rest, ok := bytes.CutPrefix(line, []byte(m))
		if ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0]))) {
			return bytes.TrimLeft(rest, " \t"), true
		}
	}
	return line, false
}

// isJSON tells an object of JSON from a flow mapping of YAML, whose keys need no quotes.
func (p part) isJSON() bool {
	inside, ok := bytes.CutPrefix(bytes.TrimSpace(p.text), []byte("{"))
	inside = bytes.TrimSpace(inside)
	return ok && (len(inside) == 0 || inside[0] == '"' || inside[0] == '}')
}

func (p part) yaml(file string) ([]document, error) {
	// Blank lines stand for those above, so that an error names the line of the file.
	padded := append(bytes.Repeat([]byte("\n"), p.line-1), p.text...)
	var node yaml.Node
	var value any
	if err := yaml.Unmarshal(padded, &node); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := node.Decode(&value); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if value == nil {
		return nil, nil // nothing but comments
	}
	raw, err := encode(withTextKeys(value))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d, err := newDocument(fmt.Sprintf("%s:%d", file, node.Content[0].Line), raw)
	return []document{d}, err
}

// withTextKeys makes the keys of YAML that are no text, like the 8080 of a port, the text that JSON wants.
func withTextKeys(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = withTextKeys(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = withTextKeys(v[key])
		}
	case map[any]any:
		text := make(map[string]any, len(v))
		for key := range v {
			text[fmt.Sprint(key)] = withTextKeys(v[key])
		}
		return text
	}
	return value
}

func (p part) json(file string) ([]document, error) {
	var documents []document
	dec := json.NewDecoder(bytes.NewReader(p.text))
	for {
		var raw json.RawMessage
		switch err := dec.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return nil, fmt.Errorf("%s: not valid JSON: %w", p.at(file, errorOffset(err, len(p.text))), err)
		}
		d, err := newDocument(p.at(file, int(dec.InputOffset())-len(raw)), raw)
		if err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
}

func newDocument(where string, raw json.RawMessage) (document, error) {
	d := document{where: where}
	if !bytes.HasPrefix(raw, []byte("{")) {
		return d, fmt.Errorf("%s: a document must be an object with a name, an image and so on", d.where)
	}
	if key := repeatedKey(json.NewDecoder(bytes.NewReader(raw)), ""); key != "" {
		return d, fmt.Errorf("%s: %s is given twice", d.where, key)
	}
	if err := json.Unmarshal(raw, &d.body); err != nil {
		return d, fmt.Errorf("%s: %w", d.where, err)
	}
	return d, nil
}

// at names the line of the file that offset is in.
func (p part) at(file string, offset int) string {
	return fmt.Sprintf("%s:%d", file, p.line+bytes.Count(p.text[:offset], []byte("\n")))
}

func errorOffset(err error, end int) int {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return max(0, min(int(e.Offset)-1, end))
	}
	return end
}

// repeatedKey gives the path of a key that its object has twice, or nothing. The JSON is known to be valid.
func repeatedKey(dec *json.Decoder, path string) string {
	opening, _ := dec.Token()
	delim, ok := opening.(json.Delim)
	if !ok {
		return ""
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if delim == '{' {
			t, _ := dec.Token()
			key, _ := t.(string)
			at = joinPath(path, key)
			if seen[key] {
				return at
			}
			seen[key] = true
		}
		if found := repeatedKey(dec, at); found != "" {
			return found
		}
	}
	_, _ = dec.Token() // the closing one
	return ""
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
