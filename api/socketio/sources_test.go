package socketio

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guardedSources are the lines of the repository's own code that may touch the library, by file and line.
func guardedSources(t *testing.T, look func(name string, line int, text string)) {
	t.Helper()
	imports := regexp.MustCompile(`"github\.com/zishang520/`)
	files := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil || !imports.Match(b) {
			return err
		}
		files++
		for n, text := range strings.Split(string(b), "\n") {
			look(name, n+1, strings.TrimSpace(text))
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Fatalf("%d files read: %v", files, err)
	}
}

// What the library offers and nothing in the repository may use.
func TestSources_Forbidden(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"sending by it loses messages":                               regexp.MustCompile(`\b(io|sock|server|nsp)\.(Emit|To|In|Except|Broadcast|Send|Write)\(|\.(Broadcast|EmitWithAck|FetchSockets)\(`),
		"it sets flags that all of a socket's senders share":         regexp.MustCompile(`\.(Timeout|Volatile|Compress)\(`),
		"it panics at start and skips the middleware":                regexp.MustCompile(`ConnectionStateRecovery`),
		"it inflates behind the read limit":                          regexp.MustCompile(`PerMessageDeflate|SetHttpCompression`),
		"a client may send an event of that name, with any argument": regexp.MustCompile(`\bsock\.(On|Once)\(`),
		"it lets in the protocol that ends the process":              regexp.MustCompile(`AllowEIO3`),
	}
	guardedSources(t, func(name string, line int, text string) {
		for why, what := range forbidden {
			if what.MatchString(text) {
				t.Errorf("%s:%d: %s: %s", name, line, text, why)
			}
		}
	})
}

// The library calls listeners on its own goroutines, where a panic ends the process.
func TestSources_ListenersAreGuarded(t *testing.T) {
	listens := regexp.MustCompile(`\.(On|Once)\("`)
	found := 0
	guardedSources(t, func(name string, line int, text string) {
		if !listens.MatchString(text) {
			return
		}
		found++
		// The two of the transport have their recover inside.
		if !strings.Contains(text, "recovering(func(") && !strings.Contains(text, "t.joined(") && !strings.Contains(text, "t.connected(") {
			t.Errorf("%s:%d: %s", name, line, text)
		}
	})
	if found < 8 {
		t.Errorf("only %d listeners found", found)
	}
}
