package auth

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

func create(t *testing.T, path, name string, role api.Role) (string, Entry) {
	t.Helper()
	token, e, err := Create(path, name, role, 0)
	if err != nil {
		t.Fatal(err)
	}
	return token, e
}

func read(t *testing.T, path string) []Entry {
	t.Helper()
	entries, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestCreate_KeepsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, first := create(t, path, "ann", api.Admin)
	other, second := create(t, path, "ann", api.Admin)
	if token == other || first.ID == second.ID || !wellFormed(token) {
		t.Errorf("%q %+v, then %q %+v", token, first, other, second)
	}
	if diff := cmp.Diff([]Entry{first, second}, read(t, path)); diff != "" {
		t.Error(diff)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token) || strings.Contains(string(data), strings.TrimPrefix(token, tokenPrefix)) {
		t.Errorf("the file holds the token:\n%s", data)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestEdit_LosesNothingAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	_, old := create(t, path, "old", api.Viewer)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { create(t, path, "new", api.Viewer) })
	}
	all.Go(func() {
		if err := Revoke(path, old.ID); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	if entries := read(t, path); len(entries) != 16 {
		t.Errorf("%d tokens are left of 16", len(entries))
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left beside the file: %v, %v", files, err)
	}
}

func TestEdit_ErrLeavesTheFileAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	_, ann := create(t, path, "ann", api.Viewer)
	before := read(t, path)
	for what, err := range map[string]error{
		"bad name": createErr(path, "an\nn", api.Viewer),
		"bad role": createErr(path, "ann", "root"),
		"unknown":  Revoke(path, ann.ID, "00000000"),
		"by name":  Revoke(path, "ann"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := Revoke(path, "ann"); !strings.Contains(err.Error(), ann.ID+" (ann)") {
		t.Errorf("%v does not say which ids there are", err)
	}
	if diff := cmp.Diff(before, read(t, path)); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := createErr(path, "ann", api.Viewer); err == nil {
		t.Error("a token was added to a broken file")
	}
	if data, err := os.ReadFile(path); string(data) != "{" {
		t.Errorf("the broken file is now %q, %v", data, err)
	}
}

func TestEdit_ErrTooMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	err := edit(path, func(entries []Entry) ([]Entry, error) {
		for i := range 10_000 {
			_, e := newEntry("ann", api.Viewer, time.Unix(int64(i), 0), nil)
			entries = append(entries, e)
		}
		return entries, nil
	})
	if !errors.Is(err, ErrNotWritten) {
		t.Errorf("got %v", err)
	}
	create(t, path, "ann", api.Viewer) // what is there can still be read
}

func createErr(path, name string, role api.Role) error {
	_, _, err := Create(path, name, role, time.Hour)
	return err
}

func TestEdit_KeepsTheLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "tokens"), filepath.Join(dir, "link")
	create(t, path, "ann", api.Viewer)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	create(t, link, "bob", api.Viewer)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if got := len(read(t, path)); got != 2 {
		t.Errorf("%d tokens in the file behind the link", got)
	}
}

func TestRead_ErrUntrusted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens")
	create(t, path, "ann", api.Viewer)
	for _, mode := range []os.FileMode{0o640, 0o620, 0o604, 0o602, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // nobody else can give files away
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("another user's file: %v", err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{dir, pipe} {
		if _, err := Read(other); err == nil || !strings.Contains(err.Error(), "is no regular file") {
			t.Errorf("%s: %v", other, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "token create --auth-file") {
		t.Errorf("absent: %v", err)
	}
}

const goodEntry = `{"id":"0123abcd","name":"ann","role":"viewer","sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","created_at":"2026-01-02T03:04:05Z"}`

func TestDecode(t *testing.T) {
	change := func(from, to string) string {
		changed := strings.Replace(goodEntry, from, to, 1)
		if changed == goodEntry {
			t.Fatalf("nothing is changed by %s", from)
		}
		return `{"tokens":[` + changed + `]}`
	}
	other := strings.NewReplacer("0123abcd", "abcd0123").Replace(goodEntry)
	for what, tt := range map[string]struct{ file, says string }{
		"empty":          {``, "line 1"},
		"cut off":        {"{\n\"tokens\": [\n{", "line 3"},
		"two documents":  {`{"tokens":[]}{}`, "line 1"},
		"a list":         {`[]`, "must be an object, not an array"},
		"no tokens":      {`{}`, "tokens: is required"},
		"tokens null":    {`{"tokens":null}`, "tokens: must be an array"},
		"unknown":        {`{"tokens":[],"token":1}`, "token: is not a known field"},
		"twice":          {`{"tokens":[],"tokens":[]}`, "tokens: is given twice"},
		"unknown within": {change(`"name"`, `"nickname":"x","name"`), "tokens[0].nickname: is not a known field"},
		"other case":     {change(`"name"`, `"Name"`), "tokens[0].Name: is not a known field"},
		"no id":          {change(`"id":"0123abcd",`, ``), "tokens[0].id: must be 8"},
		"same id":        {`{"tokens":[` + goodEntry + `,` + strings.Replace(goodEntry, "aaa", "bbb", 1) + `]}`, `tokens[1].id: "0123abcd" is another token's as well`},
		"same hash":      {`{"tokens":[` + goodEntry + `,` + other + `]}`, "tokens[1].sha256: is another token's"},
		"bad name":       {change("ann", "an n"), `tokens[0].name: "an n" is no name`},
		"NUL in name":    {change("ann", `an\u0000n`), `tokens[0].name`},
		"no name":        {change("ann", ""), "tokens[0].name"},
		"bad role":       {change("viewer", "root"), `tokens[0].role: "root" is no role`},
		"a token":        {change(strings.Repeat("a", 64), "fm_abc"), "tokens[0].sha256: must be 64"},
		"bad time":       {change("2026-01-02T03:04:05Z", "today"), "tokens[0].created_at"},
		"no time":        {change(`,"created_at":"2026-01-02T03:04:05Z"`, ``), "tokens[0].created_at: is required"},
		"null expiry":    {change(`"role"`, `"expires_at":null,"role"`), "tokens[0].expires_at"},
		"large":          {`{"tokens":[]}` + strings.Repeat(" ", maxFileBytes), "more than"},
	} {
		if entries, err := decode([]byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, %v, want an error that says %s", what, entries, err, tt.says)
		}
	}
	if entries, err := decode([]byte(`{"tokens":[` + goodEntry + `]}`)); err != nil || len(entries) != 1 {
		t.Errorf("a good file: %v, %v", entries, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"tokens":[` + goodEntry + `]}`))
	f.Add([]byte(`{"tokens":[{"expires_at":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(document{entries})
		if err != nil {
			t.Fatal(err)
		}
		if same, err := decode(again); err != nil || !cmp.Equal(entries, same) {
			t.Errorf("%s is not read as it was written: %v", again, err)
		}
	})
}
