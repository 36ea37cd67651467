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
)

const maxInput = 16 << 20 // bytes of one file

// document is one object, and where it was read from. Of what is written in YAML the line of each field is known, by its path.
type document struct {
	where string
	body  map[string]json.RawMessage
	lines map[string]string
}

// at is where a field is written, as far as that is known.
func (d *document) at(field string) string {
	if line, known := d.lines[field]; known {
		return line
	}
	return d.where
}

// name is that of the container, or where a document was read that does not say.
func (d *document) name() string {
	var name string
	if json.Unmarshal(d.body["name"], &name) != nil || name == "" {
		return d.where
	}
	return name
}

// readDocuments reads all files of declarations, "-" being stdin, and gives no documents unless all of them can be read.
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
		documents, err := parseDocuments(file, data, declarations())
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
func parseDocuments(file string, data []byte, of form) ([]document, error) {
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
		documents, err := parse(file, of)
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

func (p part) json(file string, _ form) ([]document, error) {
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
