package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseDocuments_OK(t *testing.T) {
	tests := map[string]struct {
		in   string
		want []string // where: body
	}{
		"yaml":                 {"name: a\nn: 9007199254740993\nf: 1.5\ns: '1'\n", []string{`f:1: {"f":1.5,"n":9007199254740993,"name":"a","s":"1"}`}},
		"several":              {"# first\nname: a\n---\n\nname: b\n--- # third\nname: c\n", []string{`f:2: {"name":"a"}`, `f:5: {"name":"b"}`, `f:7: {"name":"c"}`}},
		"empty ones":           {"---\n---\n# none\n---\nname: a\n---\n", []string{`f:5: {"name":"a"}`}},
		"end markers":          {"name: a\n...\n---\nname: b\n...\n", []string{`f:1: {"name":"a"}`, `f:4: {"name":"b"}`}},
		"no last newline":      {"name: a\n---", []string{`f:1: {"name":"a"}`}},
		"on the marker's line": {"--- {name: a}\n--- {\"name\":\"b\"}", []string{`f:1: {"name":"a"}`, `f:2: {"name":"b"}`}},
		"marker inside":        {"command: |\n  ---\n  x\nname: a---\n", []string{`f:1: {"command":"---\nx\n","name":"a---"}`}},
		"windows":              {"\ufeffname: a\r\n---\r\nname: b\r\n", []string{`f:1: {"name":"a"}`, `f:3: {"name":"b"}`}},
		"json":                 {`{"name":"a","n":123456789012345678901234567890,"e":"\ud83d\ude00"}`, []string{`f:1: {"e":"\ud83d\ude00","n":123456789012345678901234567890,"name":"a"}`}},
		"json, several":        {"{\"name\":\"a\"}\n\n{\n\"name\":\"b\"} {}", []string{`f:1: {"name":"a"}`, `f:3: {"name":"b"}`, `f:4: {}`}},
		"keys":                 {"Y: a\non: b\n8080: c\n010: d\nports: [{80: 1}]\n", []string{`f:1: {"010":"d","8080":"c","Y":"a","on":"b","ports":[{"80":1}]}`}},
		"json with a mark":     {"\ufeff{\"name\":\"a\"}{\"name\":\"b\"}", []string{`f:1: {"name":"a"}`, `f:1: {"name":"b"}`}},
		"flow mapping":         {"{name: a, n: 1}", []string{`f:1: {"n":1,"name":"a"}`}},
		"text that looks otherwise": {"image: 1.10\nuser: 0123\nenvironment: {A: 2026-12-01, B: .inf, C: 1.10, D: true, E: 0x10, F: 1_000, G: ~a, H: \"\", I: <<, J: +1}\ncommand: [sleep, 10, .nan, no]\nlabels: {v: 1e3}\nstop_signal: 15\nspec: {image: 010}\n",
			[]string{`f:1: {"command":["sleep","10",".nan","no"],"environment":{"A":"2026-12-01","B":".inf","C":"1.10","D":"true","E":"0x10","F":"1_000","G":"~a","H":"","I":"<<","J":"+1"},"image":"1.10","labels":{"v":"1e3"},"spec":{"image":"010"},"stop_signal":"15","user":"0123"}`}},
		"merged": {"x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 5}\nenvironment: &e {A: 010}\nlabels: {<<: *e, B: 1}\n",
			[]string{`f:1: {"environment":{"A":"010"},"labels":{"A":"010","B":"1"},"x":{"a":1,"b":2},"y":{"b":3,"c":4},"z":{"a":5,"b":2,"c":4}}`}},
		"anchors": {"a: &x {k: v}\nb: *x\n", []string{`f:1: {"a":{"k":"v"},"b":{"k":"v"}}`}},
		"nothing": {"", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			documents, err := parseDocuments("f", []byte(tt.in), declarations())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range documents {
				body, err := encode(d.body)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, d.where+": "+string(body))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseDocuments_Err(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"yaml":                 {"name: a\n---\nname: [\n", "f: yaml: line 3:"},
		"yaml twice":           {"name: a\n---\nx:\n  k: 1\n  k: 2\n", `line 5: mapping key "k" already defined at line 4`},
		"yaml keys alike":      {"ports:\n  80: 1\n  \"80\": 2\n", `mapping key "80" already defined at line 2`},
		"yaml list":            {"name: a\n---\n- name: b\n", "f:3: a document must be an object"},
		"yaml scalar":          {"hello", "f:1: a document must be an object"},
		"json":                 {"{\"name\":\"a\"}\n{\"name\":\n  ?}", "f:3: not valid JSON: invalid character '?'"},
		"json cut off":         {"{\"name\":\"a\",\n\n", "f:3: not valid JSON: unexpected EOF"},
		"json twice":           {`{"name":"a"}{"env":[{"a":1},{"b":{"c":1,"d":{},"c":2}}]}`, "f:1: env[1].b.c is given twice"},
		"json twice, escaped":  {`{"name":"a","n\u0061me":"b"}`, "f:1: name is given twice"},
		"json and then a list": {`{"name":"a"} [1]`, "f:1: a document must be an object"},
		"not text":             {"name: \xff", "f is not UTF-8 text"},
		"not a number":         {"n: .nan", "f:1: n: .nan is not the same to all"},
		"octal number":         {"name: ab\nresources:\n  memory_bytes: 0123\n", "f:3: resources.memory_bytes: 0123 is not the same to all who read YAML; write a number in decimal digits, and put it in quotes where it is text"},
		"octal port":           {"ports: {80: 0123}", "f:1: ports.80: 0123 is not"},
		"number with marks":    {"n: 1_000", "f:1: n: 1_000 is not"},
		"infinite":             {"stop_grace_seconds: .inf", "f:1: stop_grace_seconds: .inf is not"},
		"hexadecimal":          {"n: [1, 0x10]", "f:1: n[1]: 0x10 is not"},
		"date":                 {"n: 2026-12-01", "f:1: n: 2026-12-01 is not"},
		"no text":              {"name: ab\nenvironment:\n  A:\n", `f:3: environment.A: nothing stands where text is wanted; write ""`},
		"binary":               {"environment: {A: !!binary aGk=}", "f:1: environment.A: text is wanted here, and not what is tagged !!binary"},
		"in itself":            {"a: &x [*x]", "contains itself"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			documents, err := parseDocuments("f", []byte(tt.in), declarations())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v; want %s", documents, err, tt.want)
			}
		})
	}
}

// However documents are written and joined, each comes out once, in order, and at its line.
func TestParseDocuments_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream strings.Builder
		var want []string
		line := 1
		for i := range rapid.IntRange(1, 6).Draw(t, "count") {
			text := fmt.Sprintf(rapid.SampledFrom([]string{"n: %d\n", "{\"n\": %d}\n", "{n: %d}\n", "# %d\n"}).Draw(t, "document"), i)
			if !strings.HasPrefix(text, "#") {
				want = append(want, fmt.Sprintf("f:%d %d", line, i))
			}
			text += rapid.SampledFrom([]string{"---\n", "...\n---\n", "--- \t\n", "---\r\n"}).Draw(t, "marker")
			line += strings.Count(text, "\n")
			stream.WriteString(text)
		}
		documents, err := parseDocuments("f", []byte(stream.String()), declarations())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range documents {
			got = append(got, d.where+" "+string(d.body["n"]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", stream.String(), diff)
		}
	})
}

func TestReadDocuments_Err(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxInput+1); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		files []string
		want  string
	}{
		"missing": {[]string{filepath.Join(dir, "none.yaml")}, "none.yaml: no such file"},
		"folder":  {[]string{dir}, "is a folder: give each of its files with -f"},
		"huge":    {[]string{huge}, "more than 16777216 bytes"},
		"empty":   {[]string{"-"}, "nothing to apply"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := readDocuments(t.Context(), tt.files, strings.NewReader(""))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
