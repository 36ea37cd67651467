package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(envChild); what != "" {
		if err := beChild(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens a store in dir and checks its file when the test ends.
func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		checkFile(t, dir)
	})
	return s
}

func checkFile(t *testing.T, dir string) {
	t.Helper()
	r, err := Check(filepath.Join(dir, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return // the test has put it away
	}
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("the file: %v %q", err, r.Problems)
	}
}

func running(w *Wish) error {
	w.Spec = api.Spec{Image: "example/app:1", DesiredState: api.DesiredRunning}
	w.Spec.Default(w.Name)
	return nil
}

func image(name string) func(*Wish) error {
	return func(w *Wish) error {
		w.Spec = api.Spec{Image: name, DesiredState: api.DesiredRunning}
		w.Spec.Default(w.Name)
		return nil
	}
}

func declare(t *testing.T, s *Store, d Declaration) Result {
	t.Helper()
	r, err := s.Declare(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func errorType(err error) api.ErrorType {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Type
	}
	return ""
}

func TestStore_SurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	web := declare(t, s, Declaration{Name: "web", Principal: "someone", Change: running}).Record
	declare(t, s, Declaration{Name: "gone", Change: running})
	gone, _ := s.Resolve("gone")
	if _, err := s.Observe(t.Context(), web.ID, func(r *Record) []api.Event {
		r.Status.State = api.StateRunning
		r.Current = Placement{Token: "t", DockerName: "web", DockerID: "d"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Bury(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.SetEngine(t.Context(), "E"); err != nil {
		t.Fatal(err)
	}
	before, revision := s.List()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	again := open(t, dir, Options{})
	after, sameRevision := again.List()
	if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" || revision != sameRevision {
		t.Errorf("revision %d, then %d: %s", revision, sameRevision, diff)
	}
	if again.Instance() != s.Instance() || again.Engine() != "E" {
		t.Errorf("instance %q, then %q; engine %q", s.Instance(), again.Instance(), again.Engine())
	}
	if stone, ok := again.Tombstone(gone.ID); !ok || stone.Name != "gone" {
		t.Errorf("tombstone: %v, %v", stone, ok)
	}
}

func TestOpen_ErrInUse(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if s, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestOpen_ErrNewerFormat(t *testing.T) {
	dir := t.TempDir()
	if err := makeMissing(filepath.Join(dir, fileName), &Options{NoSync: true, migrations: make([]migration, Format)}); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir, Options{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestOpen_DocumentsItsBuckets(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	var got []string
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bolt.Bucket) error { got = append(got, string(name)); return nil })
	})
	want := []string{"containers", "expiries", "history", "keys", "log", "meta", "names", "status", "tombstones"} // the tree in doc.go
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestStore_Declare(t *testing.T) {
	s := open(t, t.TempDir(), Options{MaxContainers: 2})
	first := declare(t, s, Declaration{Name: "web", Change: running})
	if !first.Created || !first.Changed || first.Generation != 1 {
		t.Errorf("new: %+v", first)
	}
	if same := declare(t, s, Declaration{Name: "web", Change: running}); same.Changed || same.Created || same.Record != first.Record {
		t.Errorf("unchanged: %+v", same)
	}
	if other := declare(t, s, Declaration{ContainerID: "web", Change: image("b")}); !other.Changed || other.Generation != 2 || other.ID != first.ID {
		t.Errorf("changed: %+v", other)
	}
	labels := declare(t, s, Declaration{ContainerID: "web", Change: func(w *Wish) error { w.Labels = map[string]string{"a": "b"}; return nil }})
	if !labels.Changed || labels.Generation != 2 || labels.Record.ResourceVersion == first.Record.ResourceVersion {
		t.Errorf("labels: %+v", labels)
	}
	if woken := declare(t, s, Declaration{ContainerID: "web", Change: func(w *Wish) error { w.Start = true; return nil }}); woken.Generation != 3 || woken.Record.Asked.Start != 3 {
		t.Errorf("woken: %+v", woken)
	}
	unnamed := declare(t, s, Declaration{Change: running})
	if unnamed.Record.Name != "flow-"+unnamed.ID {
		t.Errorf("unnamed: %+v", unnamed)
	}
	stale := int64(1)
	for name, d := range map[string]Declaration{
		"another generation": {ContainerID: "web", IfGeneration: &stale, Change: running},
		"another version":    {ContainerID: "web", IfVersion: "1-1", Change: running},
	} {
		if _, err := s.Declare(t.Context(), d); errorType(err) != api.ConflictError {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Declare(t.Context(), Declaration{ContainerID: "nobody", Change: running}); errorType(err) != api.ContainerNotFound {
		t.Errorf("nobody: %v", err)
	}
	if _, err := s.Declare(t.Context(), Declaration{Name: "third", Change: running}); errorType(err) != api.PolicyError {
		t.Errorf("third: %v", err)
	}
}

func TestStore_DeclareIsOneOfManyAtOnce(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	const callers = 64
	created := make(chan bool, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			r, err := s.Declare(context.Background(), Declaration{Name: "same", Change: func(w *Wish) error {
				if w.Exists {
					return api.Errorf(api.ConflictError, "taken")
				}
				return running(w)
			}})
			created <- err == nil && r.Created
		})
	}
	wg.Wait()
	close(created)
	n := 0
	for ok := range created {
		if ok {
			n++
		}
	}
	if records, revision := s.List(); n != 1 || len(records) != 1 || revision != 1 {
		t.Errorf("%d created, %d records, revision %d", n, len(records), revision)
	}
}

func TestStore_IdempotencyKey(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	clock := func() time.Time { return now }
	s := open(t, dir, Options{Now: clock})
	d := Declaration{Principal: "p", Key: "0123456789abcdef", BodyHash: "1", Name: "web", Change: running}
	first := declare(t, s, d)
	declare(t, s, Declaration{ContainerID: "web", Change: image("b")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{Now: clock})
	if again := declare(t, s, d); again.ID != first.ID || again.Generation != 1 || !again.Changed || !again.Created || again.Record.Spec.Image != "b" {
		t.Errorf("repeated: %+v", again)
	}
	d.BodyHash = "2"
	if _, err := s.Declare(t.Context(), d); errorType(err) != api.ConflictError {
		t.Errorf("another body: %v", err)
	}
	now = now.Add(25 * time.Hour)
	if later := declare(t, s, d); later.Generation != 3 {
		t.Errorf("a day later: %+v", later)
	}
	count := 0
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketExpiries).ForEach(func(_, _ []byte) error { count++; return nil })
	})
	if err != nil || count != 1 {
		t.Errorf("%d expiries kept, %v", count, err)
	}
}

func TestStore_Resolve(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	a := declare(t, s, Declaration{Name: "a", Change: running})
	b := declare(t, s, Declaration{Name: "b", Change: running})
	for id, docker := range map[string]string{a.ID: "aaaaaaaaaaaaaaaa1", b.ID: "aaaaaaaaaaaaaaaa2"} {
		if _, err := s.Observe(t.Context(), id, func(r *Record) []api.Event { r.Status.DockerID = docker; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string]string{a.ID: a.ID, "b": b.ID, "aaaaaaaaaaaaaaaa1": a.ID} {
		if r, err := s.Resolve(ref); err != nil || r.ID != want {
			t.Errorf("%s: %v, %v", ref, r, err)
		}
	}
	for ref, want := range map[string]api.ErrorType{"aaaaaaaaaaaa": api.ConflictError, "aaaaaaaaaaa": api.ContainerNotFound, "": api.ValidationError, "bbbbbbbbbbbb": api.ContainerNotFound} {
		if _, err := s.Resolve(ref); errorType(err) != want {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestStore_BuryLeavesTombstone(t *testing.T) {
	now := time.Now()
	s := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	web := declare(t, s, Declaration{Name: "web", Change: running})
	if _, err := s.Observe(t.Context(), web.ID, func(r *Record) []api.Event {
		r.Current = Placement{Token: "t", DockerName: "web", DockerID: "d"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	declare(t, s, Declaration{ContainerID: "web", Principal: "me", Change: func(w *Wish) error { w.Delete = true; return nil }})
	if err := s.Bury(t.Context(), web.ID); err != nil {
		t.Fatal(err)
	}
	_, err := s.Resolve(web.ID)
	if e := api.AsError(err); e.Type != api.ContainerNotFound || e.Details["deleted_by"] != "me" {
		t.Errorf("got %v", err)
	}
	if stone, _ := s.Tombstone(web.ID); !stone.Owns("t", "d", "") || stone.Owns("t", "copy", "web") || stone.Owns("", "d", "web") {
		t.Errorf("ownership of %+v", stone)
	}
	if again := declare(t, s, Declaration{Name: "web", Change: running}); again.ID == web.ID {
		t.Error("an id was used twice")
	}
	now = now.Add(31 * 24 * time.Hour)
	if err := s.Bury(t.Context(), declare(t, s, Declaration{Name: "other", Change: running}).ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Tombstone(web.ID); ok {
		t.Error("a tombstone outlived its 30 days")
	}
}

func TestStore_ObserveTellsOfWhatIsVisible(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	web := declare(t, s, Declaration{Name: "web", Change: running})
	edit := func(r *Record) []api.Event {
		r.Status.State = api.StateRunning
		r.Status.SetCondition(api.Condition{Type: api.Progressing, Status: api.False, Reason: "Done"})
		return nil
	}
	for range 2 {
		if _, err := s.Observe(t.Context(), web.ID, edit); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := s.Watch(1).Next(t.Context())
	if err != nil || len(changes) != 1 || len(changes[0].Events) != 1 || changes[0].Events[0].Name != api.StatusChanged {
		t.Errorf("got %+v, %v", changes, err)
	}
	if _, err := s.Observe(t.Context(), "nobody", edit); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestStore_ErrNotWritableChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	declare(t, s, Declaration{Name: "web", Change: running})
	before, _ := s.List()
	if err := s.db.Close(); err != nil { // every commit fails from here on
		t.Fatal(err)
	}
	if _, err := s.Declare(t.Context(), Declaration{Name: "other", Change: running}); !errors.Is(err, ErrNotWritable) {
		t.Errorf("got %v", err)
	}
	after, revision := s.List()
	if diff := cmp.Diff(before, after); diff != "" || revision != 1 || s.Err() == nil {
		t.Errorf("revision %d, %v: %s", revision, s.Err(), diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Declare(t.Context(), Declaration{Name: "other", Change: running}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestStore_PanicOfAnEditIsAnError(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	if _, err := s.Declare(t.Context(), Declaration{Name: "web", Change: func(*Wish) error { panic("bug") }}); err == nil {
		t.Error("no error")
	}
	declare(t, s, Declaration{Name: "web", Change: running})
}

func TestWatch_FromAnyRevision(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	const total = 50
	for i := range total {
		declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running})
	}
	s.mu.Lock()
	s.recent = s.recent[40:] // what is older comes from the file
	s.mu.Unlock()
	for after := range uint64(total) {
		w := s.Watch(after)
		for want := after + 1; want <= total; {
			changes, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				if c.Revision != want || c.Type != Added || !c.Spec {
					t.Fatalf("after %d: got %+v, want revision %d", after, c, want)
				}
				want++
			}
		}
	}
}

// What is in the file already and shown to nobody yet does not come before its time, nor does it make the watch lose its place.
func TestWatch_GivesNothingThatIsNotShownYet(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	for i := range 3 {
		declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running})
	}
	s.mu.Lock()
	s.recent = nil // what follows comes from the file
	s.mu.Unlock()
	ahead := func(change func(log *bolt.Bucket) error) {
		t.Helper()
		if err := s.db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket(bucketLog)) }); err != nil {
			t.Fatal(err)
		}
	}
	ahead(func(log *bolt.Bucket) error { return log.Put(revisionKey(4), []byte(`{"id":"early"}`)) })
	w := s.Watch(0)
	if changes, err := w.Next(t.Context()); err != nil || len(changes) != 3 {
		t.Fatalf("%v, %v", changes, err)
	}
	ahead(func(log *bolt.Bucket) error { return log.Delete(revisionKey(4)) })
	web := declare(t, s, Declaration{Name: "web", Change: running})
	if changes, err := w.Next(t.Context()); err != nil || len(changes) != 1 || changes[0].Revision != 4 || changes[0].ID != web.ID {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestWatch_WaitsAndEnds(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	w := s.Watch(0)
	got := make(chan error)
	next := func() { _, err := w.Next(t.Context()); got <- err }
	go next()
	declare(t, s, Declaration{Name: "web", Change: running})
	if err := <-got; err != nil {
		t.Error(err)
	}
	go next()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWatch_ErrExpired(t *testing.T) {
	now := time.Now()
	s := open(t, t.TempDir(), Options{Now: func() time.Time { return now }, Retention: time.Hour})
	for i := range 10 {
		declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running})
	}
	now = now.Add(2 * time.Hour)
	declare(t, s, Declaration{Name: "late", Change: running})
	s.mu.Lock()
	s.recent = s.recent[10:]
	s.mu.Unlock()
	if _, err := s.Watch(0).Next(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("of what was dropped: %v", err)
	}
	if _, err := s.Watch(99).Next(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("of what has not happened: %v", err)
	}
	if changes, err := s.Watch(10).Next(t.Context()); err != nil || len(changes) != 1 {
		t.Errorf("of what is kept: %v, %v", changes, err)
	}
}

func TestStore_ANoopSaysNothingOfTheDisk(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	web := declare(t, s, Declaration{Name: "web", Change: running})
	err := s.do(t.Context(), func(*txn) (effect, error) {
		s.judge(errors.New("no space left")) // what a commit does that did not work, where it does it
		return effect{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Observe(t.Context(), web.ID, func(*Record) []api.Event { return nil }); err != nil {
		t.Fatal(err)
	}
	if s.Err() == nil {
		t.Error("an Observe that wrote nothing made the store writable again")
	}
	declare(t, s, Declaration{Name: "other", Change: running})
	if err = s.Err(); err != nil {
		t.Errorf("after a commit that worked: %v", err)
	}
}

func TestWatch_KeepsLittleInMemory(t *testing.T) {
	s := open(t, t.TempDir(), Options{NoSync: true})
	web := declare(t, s, Declaration{Name: "web", Change: running})
	const total, size = 100, 256 << 10
	event := api.Activity{ActivityType: api.ActivityActor, Message: strings.Repeat("x", size)}.Event()
	for range total {
		if _, err := s.Observe(t.Context(), web.ID, func(*Record) []api.Event { return []api.Event{event} }); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(s.recent) * size; kept > maxRecentBytes+size {
		t.Errorf("%d bytes of events are kept in memory", kept)
	}
	for range total {
		large := strings.Repeat("y", size-1) + fmt.Sprint(s.Revision()%2)
		declare(t, s, Declaration{Name: "web", Change: func(w *Wish) error {
			w.Spec.Environment = map[string]string{"LARGE": large}
			return nil
		}})
	}
	if kept := len(s.recent) * size; kept > maxRecentBytes+size {
		t.Errorf("%d bytes of specs are kept in memory", kept)
	}
	seen := 0
	for watch := s.Watch(0); seen <= 2*total; {
		changes, err := watch.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen += len(changes)
	}
}

func TestOpen_ErrDamaged(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"truncated": func(data []byte) []byte { return data[:10*4096] },
		"empty":     func([]byte) []byte { return nil },
		"zeroed":    func(data []byte) []byte { clear(data[3*4096:]); return data },
		"no store":  func([]byte) []byte { return []byte(strings.Repeat("something else ", 5000)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir, Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				declare(t, s, Declaration{Name: fmt.Sprint("c", i), Change: running})
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "flow-manager.db")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}
