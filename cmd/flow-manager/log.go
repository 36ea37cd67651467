package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// logger writes to stderr, by whatever stands before that; redactor is asked about the container that a line is about, "" where it is about none.
func logger(s *settings, stderr io.Writer, redactor func(id string) api.Redactor) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	terminal := isatty.IsTerminal(os.Stderr.Fd())
	out := io.Writer(&jsonLines{stderr})
	if s.LogFormat == "console" || s.LogFormat == "" && terminal {
		out = zerolog.ConsoleWriter{Out: stderr, TimeFormat: time.TimeOnly, NoColor: !terminal, FormatPrepare: printable}
	}
	return zerolog.New(&masker{out, redactor}).Level(s.level).With().Timestamp().Logger()
}

// redactorOf knows the secrets of the container with that id, where there is one.
func redactorOf(s *store.Store, id string) api.Redactor {
	if s == nil || id == "" {
		return api.Redactor{}
	}
	r, ok := s.Get(id)
	if !ok {
		return api.Redactor{}
	}
	return api.NewRedactor(s.Environments(r)...)
}

// masker takes the secrets out of each line, whoever wrote it and whatever text of others it quotes.
type masker struct {
	out      io.Writer
	redactor func(id string) api.Redactor
}

// Write implements io.Writer; zerolog calls it once for each line.
func (m *masker) Write(line []byte) (int, error) {
	masked := m.redactor(valueOf(line, "id")).JSON(line)
	// A session's id is no secret, though its key reads like one's.
	if session := valueOf(line, "session"); api.IsID(session) {
		masked = bytes.Replace(masked, member("session", api.Filtered), member("session", session), 1)
	}
	if _, err := m.out.Write(masked); err != nil {
		return 0, err
	}
	return len(line), nil
}

// valueOf finds an id in a line: within a string's value a key's quotes would be escaped.
func valueOf(line []byte, key string) string {
	_, rest, _ := bytes.Cut(line, []byte(`"`+key+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

func member(key, value string) []byte { return []byte(`"` + key + `":"` + value + `"`) }

// jsonLines ends each line, and escapes what a terminal could obey or hide.
type jsonLines struct{ out io.Writer }

func (j *jsonLines) Write(line []byte) (int, error) {
	if _, err := j.out.Write(append(bytes.TrimRight(api.PrintableJSON(line), "\n"), '\n')); err != nil {
		return 0, err
	}
	return len(line), nil
}

// printable makes plain text of everything that the console's format would print as it is.
func printable(line map[string]any) error {
	for key, value := range line {
		switch v := value.(type) {
		case string:
			if key == zerolog.MessageFieldName {
				line[key] = api.Printable(v)
			}
		case json.Number, bool, nil:
		default:
			line[key] = string(api.PrintableJSON(api.Encode(v)))
		}
	}
	return nil
}

// complain prints an error that ends the process, each of its lines marked as ours.
func complain(err error) {
	for line := range bytes.Lines([]byte(api.Redactor{}.Text(err.Error()))) {
		fmt.Fprintln(os.Stderr, "flow-manager:", api.Printable(string(bytes.TrimRight(line, "\n"))))
	}
}
