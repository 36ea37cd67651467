package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/flow-manager/flow-manager/api"
)

// sample is a file with everything in it that a store can hold: trees of several levels, a record that needs many pages, free
// pages, tombstones, keys, former specs.
var sample = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := Open(dir, Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	err = errors.Join(fill(s), s.Close())
	data, readErr := os.ReadFile(filepath.Join(dir, fileName))
	return data, errors.Join(err, readErr)
})

func fill(s *Store) error {
	ctx := context.Background()
	for i := range 120 {
		name := fmt.Sprintf("container-%03d", i)
		key := ""
		if i%3 == 0 {
			key = fmt.Sprintf("key-%016d", i)
		}
		r, err := s.Declare(ctx, Declaration{Name: name, Key: key, Principal: "p", Change: image("a")})
		if err != nil {
			return err
		}
		change := image("b")
		if i == 7 {
			change = image(strings.Repeat("x", 40_000))
		}
		if _, err := s.Declare(ctx, Declaration{ContainerID: r.ID, Change: change}); err != nil {
			return err
		}
		if _, err := s.Observe(ctx, r.ID, func(r *Record) []api.Event {
			r.Current = Placement{Token: "t" + r.ID, DockerName: r.Name, DockerID: "d" + r.ID, Generation: 2}
			return nil
		}); err != nil {
			return err
		}
		if i%5 == 0 {
			if err := s.Bury(ctx, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// damage is what may happen to a file, by chance.
func damage(data []byte, random *rand.Rand) ([]byte, string) {
	data = append([]byte{}, data...)
	page, used := os.Getpagesize(), len(data)
	for used > 0 && data[used-1] == 0 {
		used--
	}
	anyPage := func() int { return random.IntN(used/page+1) * page }
	switch kind := random.IntN(8); kind {
	case 0, 1:
		n := 1 + random.IntN(8)
		for range n {
			data[random.IntN(used)] ^= 1 << random.IntN(8)
		}
		return data, fmt.Sprintf("%d bits", n)
	case 2:
		at := random.IntN(used)
		return data[:at], fmt.Sprintf("truncated to %d", at)
	case 3:
		at := anyPage()
		clear(data[at:min(at+page, len(data))])
		return data, fmt.Sprintf("page at %d zeroed", at)
	case 4:
		to, from := anyPage(), anyPage()
		copy(data[to:min(to+page, len(data))], data[from:min(from+page, len(data))])
		return data, fmt.Sprintf("page at %d over that at %d", from, to)
	case 5:
		at := random.IntN(used)
		for i := at; i < min(at+512, used); i++ {
			data[i] = byte(random.Uint32())
		}
		return data, fmt.Sprintf("noise at %d", at)
	default: // where it hurts: the header and the first elements of a page
		at := anyPage() + random.IntN(64)
		data[min(at, used-1)] = byte(random.Uint32())
		return data, fmt.Sprintf("byte at %d", at)
	}
}

// live does with an opened store what a manager does.
func live(t *testing.T, s *Store) error {
	for w, revision := s.Watch(0), s.Revision(); w.after < revision; {
		changes, err := w.Next(t.Context())
		if errors.Is(err, ErrExpired) {
			w.after++
			continue
		}
		if err != nil {
			return err
		}
		w.after = changes[len(changes)-1].Revision
	}
	records, _ := s.List()
	for i, r := range records[:min(len(records), 12)] {
		if _, err := s.History(r.ID); err != nil {
			return err
		}
		if _, err := s.Declare(t.Context(), Declaration{ContainerID: r.ID, Key: fmt.Sprintf("key-%016d", i), Principal: "p", Change: image("c")}); err != nil && errorType(err) == "" {
			return err
		}
		if err := s.Bury(t.Context(), r.ID); err != nil {
			return err
		}
	}
	_, err := s.Declare(t.Context(), Declaration{Name: "another", Change: running})
	return err
}

// Whatever happened to the file: Open says that it is damaged, or opens it and names the records that it left out; then the
// store works, and opens again with as many of them.
func TestOpen_OfAnyDamagedFile(t *testing.T) {
	data, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	files := 100
	if text := os.Getenv("DAMAGE"); text != "" {
		fmt.Sscan(text, &seed, &files)
	}
	outcomes := map[string]int{}
	for i := range uint64(files) {
		harmed, how := damage(data, rand.New(rand.NewPCG(seed, i)))
		alarm := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("seed %d file %d: %s: it hangs", seed, i, how)) })
		outcome, err := openHarmed(t, harmed)
		alarm.Stop()
		if err != nil {
			t.Errorf("seed %d file %d: %s: %v", seed, i, how, err)
		}
		outcomes[outcome]++
	}
	t.Logf("seed %d: %v", seed, outcomes)
}

func openHarmed(t *testing.T, data []byte) (outcome string, err error) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	s, err := Open(dir, Options{NoSync: true})
	switch {
	case errors.Is(err, ErrDamaged) && strings.Contains(err.Error(), dir), errors.Is(err, ErrNewerFormat):
		return "refused", nil
	case err != nil:
		return "unclear", err
	}
	held := len(s.Quarantined())
	if err := errors.Join(live(t, s), s.Close()); err != nil {
		return "opened, did not work", err
	}
	if s, err = Open(dir, Options{NoSync: true}); err != nil {
		return "opened once", err
	}
	defer s.Close()
	if again := len(s.Quarantined()); again != held {
		return "opened again", fmt.Errorf("%d records in quarantine, then %d", held, again)
	}
	if held > 0 {
		return "quarantine", nil
	}
	return "opened", nil
}

// What bbolt gives up on is told as what is wrong with the file.
func TestCheck_TellsWhatBboltGaveUpOn(t *testing.T) {
	data, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	path, page := filepath.Join(t.TempDir(), "file"), os.Getpagesize()
	for spoiled, other := range map[int]int{0: 1, 1: 0} { // of the first two pages either is enough
		t.Run(fmt.Sprint(spoiled), func(t *testing.T) {
			harmed := append([]byte{}, data...)
			copy(harmed[other*page+16:other*page+80], data[newerMeta(t, data)*page+16:]) // the newer one's content
			copy(harmed[spoiled*page:(spoiled+1)*page], data[40*page:])
			if err := os.WriteFile(path, harmed, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Check(path)
			said := fmt.Sprint(r.Problems, err)
			if len(r.Problems) == 0 || !strings.Contains(said, "file: Page expected to be") || strings.Contains(said, "panic") {
				t.Errorf("it said %s", said)
			}
		})
	}
}

func newerMeta(t *testing.T, data []byte) int {
	t.Helper()
	page := os.Getpagesize()
	first, ok := metaAt(bytes.NewReader(data), 0)
	second, also := metaAt(bytes.NewReader(data), int64(page))
	if !ok || !also {
		t.Fatal("there are no two pages of meta data")
	}
	if second.transaction > first.transaction {
		return 1
	}
	return 0
}

// bbolt itself must never write what verify refuses, whatever grows, shrinks, splits and merges.
func TestVerify_TakesWhatBboltWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), fileName)
		if err := makeMissing(path, &Options{NoSync: true}); err != nil {
			rt.Fatal(err)
		}
		db, err := openBolt(path, mode{noSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		size := rapid.SampledFrom([]int{0, 1, 60, 900, 5000, 30_000})
		commits := rapid.SliceOfN(rapid.SliceOfN(size, 1, 300), 1, 12).Draw(rt, "commits")
		seed := rapid.Uint64().Draw(rt, "seed")
		for i, commit := range commits {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			err := db.Update(func(tx *bolt.Tx) error { return churn(tx.Bucket(bucketLog), commit, random) })
			if err != nil {
				rt.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				rt.Fatal(err)
			}
			if err := errors.Join(verify(f), f.Close()); err != nil {
				rt.Fatalf("after commit %d: %v", i, err)
			}
		}
	})
}

// churn writes values of the given sizes under random keys, and deletes for a size of 0.
func churn(b *bolt.Bucket, sizes []int, random *rand.Rand) error {
	for _, size := range sizes {
		key := fmt.Appendf(nil, "%0*d", 1+random.IntN(60), random.IntN(500))
		if size == 0 {
			from := b.Cursor()
			for k, _ := from.Seek(key); k != nil && random.IntN(30) > 0; k, _ = from.Next() {
				if err := from.Delete(); err != nil {
					return err
				}
			}
			continue
		}
		if err := b.Put(key, make([]byte, size)); err != nil {
			return err
		}
	}
	return nil
}
