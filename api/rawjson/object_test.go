package rawjson

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	nested := func(depth int) string {
		return `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
	}
	tests := map[string]struct {
		input string
		err   error
	}{
		"OK":                   {`{"type":"hello"}`, nil},
		"OK/Empty":             {`{}`, nil},
		"OK/Spaces":            {" \n{ \"a\" : 1 , \"b\" : [ ] }\t", nil},
		"OK/Deep":              {nested(MaxDepth - 1), nil},
		"ErrTooDeep":           {nested(MaxDepth), ErrTooDeep},
		"ErrTooDeep/Far":       {nested(100_000), ErrTooDeep},
		"OK/Unicode":           {`{"a":"naïve ☃"}`, nil},
		"ErrNotJSON/Empty":     {"", ErrNotJSON},
		"ErrNotJSON/Cut":       {`{"a":`, ErrNotJSON},
		"ErrNotJSON/Two":       {`{}{}`, ErrNotJSON},
		"ErrNotObject/Array":   {`[{}]`, ErrNotObject},
		"ErrNotObject/String":  {`"{}"`, ErrNotObject},
		"ErrNotObject/Null":    {`null`, ErrNotObject},
		"ErrNotUTF8/InString":  {"{\"a\":\"\xff\"}", ErrNotUTF8},
		"ErrNotUTF8/Surrogate": {"{\"a\":\"\xed\xa0\x80\"}", ErrNotUTF8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.input)); err != tt.err {
				t.Errorf("err = %v, want %v", err, tt.err)
			}
		})
	}
}

func TestObject_Text(t *testing.T) {
	tests := map[string]struct{ input, want string }{
		"OK":          {`{"type":"ping"}`, "ping"},
		"OK/Escaped":  {`{"\u0074ype":"p\u0069ng"}`, "ping"},
		"OK/Last":     {`{"type":"a","type":"b"}`, "b"},
		"None":        {`{}`, ""},
		"None/Nested": {`{"a":{"type":"x"},"b":["type","y"]}`, ""},
		"None/Case":   {`{"Type":"x"}`, ""},
		"None/Number": {`{"type":17}`, ""},
		"None/Array":  {`{"type":["x"]}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := Parse([]byte(tt.input))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, o.Text("type")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestObject_Replaced(t *testing.T) {
	tests := map[string]struct{ input, value, want string }{
		"OK":          {`{"a": 1.50, "id":7, "b":{"id":8}}`, `"x"`, `{"id":"x","a":1.50,"b":{"id":8}}`},
		"OK/Absent":   {`{}`, `"x"`, `{"id":"x"}`},
		"OK/Twice":    {`{"id":1,"id":2}`, `"x"`, `{"id":"x"}`},
		"OK/TakeAway": {`{"id":1,"a":9007199254740993}`, "", `{"a":9007199254740993}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := Parse([]byte(tt.input))
			if err != nil {
				t.Fatal(err)
			}
			var value json.RawMessage
			if tt.value != "" {
				value = json.RawMessage(tt.value)
			}
			if diff := cmp.Diff(tt.want, string(o.Replaced("id", value).Encode())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What encoding/json takes for an object, and nothing else, is one to us, with the same members.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, ` {"a":[1,{"b":"}"}],"c":"\"\\","\u0061":null} `, `[]`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":1,}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		o, err := Parse(input)
		if err == ErrNotUTF8 || err == ErrTooDeep {
			return
		}
		var want map[string]json.RawMessage
		if wantErr := json.Unmarshal(input, &want); (err == nil) != (wantErr == nil && want != nil) {
			t.Fatalf("Parse: %v, encoding/json: %v", err, wantErr)
		}
		if err != nil {
			return
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(o.Encode(), &got); err != nil {
			t.Fatalf("encoded %q: %v", o.Encode(), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-encoding/json +ours):\n%s", diff)
		}
	})
}
