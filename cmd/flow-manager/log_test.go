package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
)

// tellerOf is a redactor for one container, "web".
func tellerOf(id string) api.Redactor {
	if id != "web" {
		return api.Redactor{}
	}
	return api.NewRedactor(map[string]string{"TOKEN": "hunter2hunter2"})
}

func TestMasker_KnowsTheContainersSecrets(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(&masker{&jsonLines{&out}, tellerOf})
	log.Warn().Str("id", "web").Err(errors.New("no hunter2hunter2\nhere")).Str("api_key", "x").Int("n", 7).Strs("list", []string{"token=x", "\u202e"}).Msg("said")
	log.Warn().Str("id", "other").Str("session", "dc2iu5pksdufdmu9l0ig").Str("login_id", "4f2a91c0").Msg("hunter2hunter2")
	log.Warn().Str("session", "not an id").Str("quoted", `"id":"web"`).Msg("hunter2hunter2")
	want := `{"level":"warn","id":"web","error":"no [FILTERED]\nhere","api_key":"[FILTERED]","n":7,"list":["token=[FILTERED]","\u202e"],"message":"said"}
{"level":"warn","id":"other","session":"dc2iu5pksdufdmu9l0ig","login_id":"4f2a91c0","message":"hunter2hunter2"}
{"level":"warn","session":"[FILTERED]","quoted":"\"id\":\"web\"","message":"hunter2hunter2"}
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPrintable_OnTheConsole(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(&masker{zerolog.ConsoleWriter{Out: &out, NoColor: true, FormatPrepare: printable, PartsExclude: []string{"time"}}, tellerOf})
	log.Warn().Str("id", "web").Strs("list", []string{"\u202e\x1b", "a"}).Bool("yes", true).Str("field", "\u202e\x1b").Msg("one\ntwo \x1b[2J\u202e hunter2hunter2")
	want := `WRN one\ntwo \x1b[2J\u202e [FILTERED] field="\u202e\x1b" id=web list="[\"\\u202e\\u001b\",\"a\"]" yes=true` + "\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestMasker_ErrWrite(t *testing.T) {
	full := writer(func([]byte) (int, error) { return 0, io.ErrShortWrite })
	for _, w := range []io.Writer{&masker{full, tellerOf}, &jsonLines{full}} {
		if _, err := w.Write([]byte(`{"a":1}`)); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%T: %v", w, err)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// What a line costs beside what it costs without the masks.
func BenchmarkLine(b *testing.B) {
	line := func(b *testing.B, out io.Writer) {
		log := zerolog.New(out).With().Timestamp().Logger()
		b.ReportAllocs()
		for b.Loop() {
			log.Info().Str("operation", "apply_container").Str("id", "web").Int64("generation", 1).Bool("changed", true).Str("name", strings.Repeat("n", 20)).Msg("accepted")
		}
	}
	b.Run("bare", func(b *testing.B) { line(b, io.Discard) })
	b.Run("masked", func(b *testing.B) { line(b, &masker{&jsonLines{io.Discard}, tellerOf}) })
}
