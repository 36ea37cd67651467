package docker

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// printed is the log of a container as an engine keeps it, and what its follows give of it.
type printed struct {
	mu      sync.Mutex
	kept    []api.LogLine
	follows []func(give func(...api.LogLine)) // one for each follow; then follows end at once
	reads   []string                          // what was asked for
	removed bool
}

// ServeHTTP is the engine's /containers/{id}/logs.
func (e *printed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	removed := e.removed
	e.removed = removed || r.Method == http.MethodDelete
	e.mu.Unlock()
	switch {
	case removed:
		w.WriteHeader(http.StatusNotFound)
		return
	case !strings.HasSuffix(r.URL.Path, "/logs"):
		w.Header().Set("Api-Version", "1.41")
		return
	}
	give := func(pieces ...api.LogLine) {
		for _, p := range pieces {
			text := p.At.Format(time.RFC3339Nano) + " " + p.Text
			if !p.More && !strings.HasSuffix(p.Text, "…") { // which ended with its run
				text += "\n"
			}
			head := []byte{map[string]byte{api.Stdout: 1, api.Stderr: 2}[p.Stream], 0, 0, 0}
			_, _ = w.Write(append(binary.BigEndian.AppendUint32(head, uint32(len(text))), text...))
		}
		w.(http.Flusher).Flush()
	}
	e.mu.Lock()
	kept, follow := e.kept, func(func(...api.LogLine)) {}
	e.reads = append(e.reads, r.URL.Query().Get("tail"))
	following := r.URL.Query().Get("follow") == "1"
	if following && len(e.follows) > 0 {
		follow, e.follows = e.follows[0], e.follows[1:]
	}
	e.mu.Unlock()
	if n, err := strconv.Atoi(r.URL.Query().Get("tail")); err == nil {
		kept = kept[max(0, len(kept)-n):]
	}
	give(kept...)
	if following {
		follow(give)
	}
}

// write has the engine keep more.
func (e *printed) write(pieces ...api.LogLine) []api.LogLine {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, pieces...)
	return pieces
}

// read is what Output gives, as stream and text; "+" stands behind what goes on.
func (e *printed) read(t testing.TB, o api.LogOptions) []string {
	t.Helper()
	r, got := e.runtime(t), []string{}
	err := r.Output(t.Context(), "x", o, func(l api.LogLine) error {
		got = append(got, said(l))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (e *printed) runtime(t testing.TB) *Runtime {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	r, err := New(Config{Host: "tcp://" + server.Listener.Addr().String(), Folders: []string{t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func said(l api.LogLine) string {
	return l.Stream[3:] + " " + l.Text[:min(len(l.Text), 12)] + map[bool]string{true: "+"}[l.More]
}

var began = time.Now().Add(-time.Minute).UTC()

// line is one that was written n milliseconds after the first, a minute ago.
func line(n int, text string) api.LogLine {
	return api.LogLine{Stream: api.Stdout, At: began.Add(time.Duration(n) * time.Millisecond), Text: text}
}

func onStderr(l api.LogLine) api.LogLine { l.Stream = api.Stderr; return l }

// pieceOf is a full piece of a line.
func pieceOf(l api.LogLine) api.LogLine {
	l.Text, l.More = l.Text+strings.Repeat(".", fullPiece-len(l.Text)), true
	return l
}

// now is a line of this moment.
func now(text string) api.LogLine {
	return api.LogLine{Stream: api.Stdout, At: time.Now().UTC(), Text: text}
}

func TestOutput(t *testing.T) {
	long := []api.LogLine{line(0, "zero"), pieceOf(line(1, "a")), onStderr(line(2, "e")), pieceOf(line(1, "b")), line(1, "c"), onStderr(line(3, "f"))}
	tests := []struct {
		name string
		kept []api.LogLine
		o    api.LogOptions
		want []string
	}{
		{"nothing", nil, api.LogOptions{Tail: -1}, []string{}},
		{"streams in their order", []api.LogLine{line(0, "a"), onStderr(line(1, "b")), line(2, ""), onStderr(line(3, "c"))}, api.LogOptions{Tail: -1}, []string{"out a", "err b", "out ", "err c"}},
		{"what ended with its run is a line", []api.LogLine{line(0, "half…"), onStderr(line(1, "e")), line(2, "next")}, api.LogOptions{Tail: -1}, []string{"out half…", "err e", "out next"}},
		{"pieces", long, api.LogOptions{Tail: -1}, []string{"out zero", "out a...........+", "err e", "out b...........+", "out c", "err f"}},
		{"the last line", long, api.LogOptions{Tail: 1}, []string{"err f"}},
		{"a line of pieces is one", long, api.LogOptions{Tail: 2}, []string{"out a...........+", "out b...........+", "out c", "err f"}},
		{"and the one within it", long, api.LogOptions{Tail: 3}, []string{"out a...........+", "err e", "out b...........+", "out c", "err f"}},
		{"all there are", long, api.LogOptions{Tail: 9}, []string{"out zero", "out a...........+", "err e", "out b...........+", "out c", "err f"}},
		{"none", long, api.LogOptions{Tail: 0}, []string{}},
		{"since", long, api.LogOptions{Tail: -1, Since: began.Add(2 * time.Millisecond)}, []string{"err e", "err f"}},
		{"since, of the last", long, api.LogOptions{Tail: 2, Since: began.Add(2 * time.Millisecond)}, []string{"err f"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, (&printed{kept: tt.kept}).read(t, tt.o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// The last lines of a long log are not looked for in all of it, and are as many as were asked for where one has many pieces.
func TestOutput_TailOfALongLog(t *testing.T) {
	e := &printed{}
	for n := range 5000 {
		e.write(line(n, strconv.Itoa(n)))
	}
	if got := e.read(t, api.LogOptions{Tail: 2}); strings.Join(got, "|") != "out 4998|out 4999" || strings.Join(e.reads, " ") != "102 102" {
		t.Errorf("read %q, asked for the last %q", got, e.reads)
	}
	for range 200 {
		e.write(pieceOf(line(6000, "x")))
	}
	e.write(line(6000, "x"))
	if got := e.read(t, api.LogOptions{Tail: 2}); len(got) != 202 || got[0] != "out 4999" {
		t.Errorf("read %d pieces, %.3q", len(got), got)
	}
}

// Whatever a follow repeats, leaves out or keeps to itself: each line comes once, in order.
func TestOutput_Follow(t *testing.T) {
	many := func() (pieces []api.LogLine) {
		for n := range 300 {
			pieces = append(pieces, line(30_000+n, strconv.Itoa(n)))
		}
		return pieces
	}
	tests := []struct {
		name    string
		follows func(e *printed) []func(give func(...api.LogLine))
		want    []string
	}{
		{"a line as it is written", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) { give(e.write(now("b"))...) }}
		}, []string{"out a", "out b"}},
		{"the last is kept back", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) { e.write(now("b…")) }}
		}, []string{"out a", "out b…"}},
		{"a file is given again", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) {
				b := e.write(now("b"))
				give(append(b, e.kept...)...)
				give(e.write(now("c"))...)
			}}
		}, []string{"out a", "out b", "out c"}},
		{"a file is left out", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) {
				e.write(line(20_000, "b"), onStderr(line(20_001, "c")))
				give(e.write(line(20_002, "d"))...) // 40 s late
			}}
		}, []string{"out a", "out b", "err c", "out d"}},
		{"much is written between two reads", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){
				func(give func(...api.LogLine)) { e.write(many()...); give(e.write(line(40_000, "late"))...) },
				func(give func(...api.LogLine)) { give(e.write(now("the end"))...) },
			}
		}, append(append([]string{"out a"}, texts(many())...), "out late", "out the end")},
		{"the clock is set back", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) {
				ahead, b := now("ahead"), now("b")
				ahead.At = ahead.At.Add(time.Hour)
				give(e.write(ahead, b)...)
				give(e.write(now("c"))...)
			}}
		}, []string{"out a", "out ahead", "out b", "out c"}},
		{"half of a line is given", func(e *printed) []func(give func(...api.LogLine)) {
			return []func(give func(...api.LogLine)){func(give func(...api.LogLine)) {
				x := now("x")
				give(e.write(pieceOf(x))...)
				e.write(pieceOf(x), x)
			}}
		}, []string{"out a", "out x...........+", "out x...........+", "out x"}},
	}
	for _, tt := range tests {
		e := &printed{}
		e.write(line(0, "a"))
		e.follows = tt.follows(e)
		if diff := cmp.Diff(tt.want, e.read(t, api.LogOptions{Tail: -1, Follow: true})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func texts(pieces []api.LogLine) (all []string) {
	for _, p := range pieces {
		all = append(all, said(p))
	}
	return all
}

// Whatever was written, the last n lines are the end of all of it, cut before a line.
func TestOutput_TailIsTheEndOfAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := &printed{}
		open := map[string]*api.LogLine{}
		for n := range rapid.IntRange(0, 40).Draw(rt, "pieces") {
			stream := rapid.SampledFrom([]string{api.Stdout, api.Stderr}).Draw(rt, "stream")
			piece := open[stream]
			if piece == nil {
				piece = &api.LogLine{Stream: stream, At: began.Add(time.Duration(n) * time.Millisecond), Text: fmt.Sprint(n)}
			}
			if open[stream] = nil; rapid.IntRange(0, 2).Draw(rt, "more") == 0 {
				open[stream] = piece
				e.write(pieceOf(*piece))
			} else {
				e.write(*piece)
			}
		}
		ends := linesOf(e.kept)
		want := rapid.IntRange(0, len(ends)+1).Draw(rt, "lines")
		got := map[string]bool{}
		for _, text := range e.read(t, api.LogOptions{Tail: want}) {
			got[strings.TrimRight(text, ".+")] = true
		}
		expected := map[string]bool{}
		for _, text := range ends[max(0, len(ends)-want):] {
			expected[text] = true
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			rt.Errorf("the last %d of %q (-want +got):\n%s", want, ends, diff)
		}
	})
}

// linesOf names lines in the order of their ends.
func linesOf(pieces []api.LogLine) (names []string) {
	name := func(p api.LogLine) string { return p.Stream[3:] + " " + strings.TrimRight(p.Text, ".") }
	for i, p := range pieces {
		last := true
		for _, later := range pieces[i+1:] {
			last = last && name(later) != name(p)
		}
		if last && !p.More {
			names = append(names, name(p))
		}
	}
	for i, p := range pieces { // those without an end, as they began
		begins, ends := true, false
		for j, other := range pieces {
			if name(other) == name(p) {
				begins, ends = begins && j >= i, ends || !other.More
			}
		}
		if begins && !ends {
			names = append(names, name(p))
		}
	}
	return names
}
