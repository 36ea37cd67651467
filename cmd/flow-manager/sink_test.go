package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// An output that takes nothing holds up nobody; what waits for it is written in order once it takes something, the rest is counted.
func TestSink_NobodyReads(t *testing.T) {
	writes, reads := make(chan struct{}, sinkLines+1), make(chan struct{})
	var out bytes.Buffer
	s := newSink(writer(func(line []byte) (int, error) {
		writes <- struct{}{}
		<-reads
		return out.Write(line)
	}))
	const more = 100
	for i := range sinkLines + 1 + more { // one is being written
		if i == 1 {
			<-writes
		}
		if n, err := fmt.Fprintln(s, i); n == 0 || err != nil {
			t.Fatalf("line %d: %d, %v", i, n, err)
		}
	}
	if loss := s.lost(); loss.Dropped != more || loss.Since.IsZero() || loss.Message == "" {
		t.Errorf("lost: %+v, want %d", loss, more)
	}
	close(reads)
	s.close()
	var want strings.Builder
	for i := range sinkLines + 1 {
		fmt.Fprintln(&want, i)
	}
	if out.String() != want.String() {
		t.Error("what waited was not written in order")
	}
	if fmt.Fprintln(s, "late"); s.lost().Dropped != 1 {
		t.Error("a line behind the end is not counted")
	}
}

// Few long lines wait no more than many short ones.
func TestSink_BoundsBytes(t *testing.T) {
	reads := make(chan struct{})
	s := newSink(writer(func(line []byte) (int, error) { <-reads; return len(line), nil }))
	for range 5 {
		_, _ = s.Write(make([]byte, sinkBytes/4)) // never fails
	}
	if got := s.lost().Dropped; got != 1 {
		t.Errorf("%d were lost", got)
	}
	close(reads)
	s.close()
}

// A loss is told of soon, and the next one no sooner than a minute later.
func TestSink_Report(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(writer(func([]byte) (int, error) { return 0, errors.New("no space left on device") }))
		defer s.close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := make(chan string, 10)
		go s.report(ctx, func(e api.Event) { told <- string(e.Data) })
		fmt.Fprintln(s, "a")
		began := time.Now()
		if first := <-told; !strings.Contains(first, "no space left on device") || !strings.Contains(first, `"dropped":1,`) || time.Since(began) > time.Second {
			t.Errorf("%s after %s", first, time.Since(began))
		}
		began = time.Now()
		for range 30 {
			time.Sleep(time.Second)
			fmt.Fprintln(s, "b")
		}
		if next := <-told; !strings.Contains(next, `"dropped":30,`) || time.Since(began) < lossTold-2*time.Second {
			t.Errorf("%s after %s", next, time.Since(began))
		}
	})
}

// What does not come to an end is not waited for.
func TestSink_CloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan struct{})
		s := newSink(writer(func(line []byte) (int, error) { <-reads; return len(line), nil }))
		fmt.Fprintln(s, "a")
		began := time.Now()
		if s.close(); time.Since(began) != sinkPatience {
			t.Errorf("it took %s", time.Since(began))
		}
		close(reads)
	})
}
