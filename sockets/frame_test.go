package sockets

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadFrame(t *testing.T) {
	long := strings.Repeat("x", 3*readStep+7)
	tests := map[string]struct {
		input string
		limit int
		want  string
		err   error
	}{
		"OK":                   {"\x00\x00\x00\x02{}rest", 10, "{}", nil},
		"OK/Empty":             {"\x00\x00\x00\x00", 10, "", nil},
		"OK/AtLimit":           {"\x00\x00\x00\x02{}", 2, "{}", nil},
		"OK/Long":              {string(frame([]byte(long))), 1 << 20, long, nil},
		"ErrEOF/Between":       {"", 10, "", io.EOF},
		"ErrUnexpectedEOF/Hdr": {"\x00\x00", 10, "", io.ErrUnexpectedEOF},
		"ErrUnexpectedEOF/No":  {"\x00\x00\x00\x02", 10, "", io.ErrUnexpectedEOF},
		"ErrUnexpectedEOF/Mid": {"\x00\x00\x00\x02{", 10, "", io.ErrUnexpectedEOF},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readFrame(strings.NewReader(tt.input), tt.limit)
			if err != tt.err {
				t.Fatalf("err = %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadFrame_ErrTooLong(t *testing.T) {
	tests := map[string]string{
		"ByOne":         "\x00\x00\x00\x03{} ",
		"JSONUnframed":  `{"type":"hello"}`,
		"AllBitsOfSign": "\xff\xff\xff\xff",
	}
	for name, input := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := readFrame(strings.NewReader(input), 2)
			if e, ok := errors.AsType[*tooLongError](err); !ok || e.limit != 2 {
				t.Errorf("err = %v, want a tooLongError of limit 2", err)
			}
		})
	}
}

// A header alone must not make us allocate what it announces.
func TestReadFrame_AllocatesWhatArrives(t *testing.T) {
	header := "\x00\x10\x00\x00"
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readFrame(strings.NewReader(header), 1<<20); err != io.ErrUnexpectedEOF {
				b.Fatal(err)
			}
		}
	})
	if got := result.AllocedBytesPerOp(); got > 2*readStep {
		t.Errorf("a bare header of 1 MiB costs %d bytes, want at most %d", got, 2*readStep)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, seed := range []string{"", "\x00\x00\x00\x00", "\x00\x00\x00\x02{}", "\x00\x00\x01\x00{}", "{\"a\":1}", "\xff\xff\xff\xff"} {
		f.Add([]byte(seed))
	}
	const limit = 1 << 10
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bytes.NewReader(input)
		body, err := readFrame(r, limit)
		if err != nil {
			return
		}
		if len(body) > limit {
			t.Fatalf("a body of %d bytes passed the limit", len(body))
		}
		if consumed := input[:len(input)-r.Len()]; !bytes.Equal(frame(body), consumed) {
			t.Fatalf("frame(%q) = %q, but %q was read", body, frame(body), consumed)
		}
	})
}
