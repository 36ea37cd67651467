package rawjson

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMendPairs(t *testing.T) {
	for input, want := range map[string]string{
		`{}`:                       `{}`,
		`{"a\n":"\\ud800"}`:        `{"a\n":"\\ud800"}`,
		`"\u00e4\ud83d\ude00"`:     `"\u00e4\ud83d\ude00"`,
		`"\ud83d"`:                 `"\ufffd"`,
		`"\uDE00\ud83d"`:           `"\ufffd\ufffd"`,
		`"\ud83d\ud83d\ude00"`:     `"\ufffd\ud83d\ude00"`,
		`"\ud83d\\ude00"`:          `"\ufffd\\ude00"`,
		`{"\udc00":["\ud800x",1]}`: `{"\ufffd":["\ufffdx",1]}`,
		`"\\\ud800"`:               `"\\\ufffd"`,
		`"\ud83d\u0041"`:           `"\ufffd\u0041"`,
	} {
		got := []byte(input)
		if MendPairs(got); string(got) != want {
			t.Errorf("%s: got %s, want %s", input, got, want)
		}
	}
}

// Whatever is mended is what encoding/json makes of it, and stays as it is when mended again.
func FuzzMendPairs(f *testing.F) {
	f.Add([]byte(`{"a":"\ud800\udc00\udc00"}`))
	f.Fuzz(func(t *testing.T, given []byte) {
		data := bytes.Clone(given)
		var before, after any
		if json.Unmarshal(data, &before) != nil {
			return
		}
		MendPairs(data)
		if err := json.Unmarshal(data, &after); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
	})
}
