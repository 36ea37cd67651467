package test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// What is acknowledged is on disk: between the read of a request and the write of its acknowledgement the kernel was asked
// to sync the store's file, and had answered.
func TestSync_BeforeTheAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, clients := range []int{1, 64} {
		t.Run(fmt.Sprintf("%d clients", clients), func(t *testing.T) {
			m := newTraced(t)
			const each = 3
			names := make([]string, clients*each)
			for i := range names {
				names[i] = fmt.Sprintf("sync-%d-%d-%05d", clients, os.Getpid(), i)
			}
			var group sync.WaitGroup
			failed := make(chan error, clients)
			for i := range clients {
				group.Go(func() { failed <- declareByPolling(m.addr, names[i*each:(i+1)*each]) })
			}
			group.Wait()
			for range clients {
				if err := <-failed; err != nil {
					t.Fatal(err)
				}
			}
			m.stop()
			trace := readTrace(t, filepath.Join(m.dir, "trace"))
			for _, name := range names {
				if err := trace.synced(name); err != nil {
					t.Error(err)
				}
			}
			t.Logf("%d declarations shared %d syncs of the store", len(names), len(trace.syncs))
		})
	}
}

// newTraced starts a manager under strace. Its image does not exist, so that no container is made of what is declared.
func newTraced(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, dir: t.TempDir()}
	m.under = []string{"strace", "-f", "-y", "-s", "131072", "-e", "signal=none", "-e", "trace=read,write,fdatasync,fsync", "-o", filepath.Join(m.dir, "trace")}
	m.start()
	t.Cleanup(func() {
		if m.cmd != nil {
			m.kill()
		}
	})
	return m
}

// declareByPolling is a client whose requests and answers a trace can read: polling sends them as they are.
func declareByPolling(addr string, names []string) error {
	web := &http.Client{Transport: &http.Transport{DisableCompression: true, MaxConnsPerHost: 2}, Timeout: patience}
	defer web.CloseIdleConnections()
	base := "http://" + addr + "/socket.io/?EIO=4&transport=polling"
	hello, err := fetch(web, base, "")
	if err != nil {
		return err
	}
	sid := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(hello)
	if sid == nil {
		return fmt.Errorf("no session: %s", hello)
	}
	base += "&sid=" + sid[1]
	if _, err := fetch(web, base, "40"); err != nil {
		return err
	}
	for i, name := range names {
		if _, err := fetch(web, base, fmt.Sprintf(`42%d["create_container",{"name":"%s","image":"example/none:1","image_pull_policy":"never"}]`, i, name)); err != nil {
			return err
		}
		for acked := false; !acked; {
			answer, err := fetch(web, base, "")
			if err != nil {
				return err
			}
			acked = strings.Contains(answer, fmt.Sprintf(`43%d[`, i))
		}
	}
	return nil
}

// fetch posts a body, or polls without one.
func fetch(web *http.Client, url, body string) (string, error) {
	var answer *http.Response
	var err error
	if body == "" {
		answer, err = web.Get(url)
	} else {
		answer, err = web.Post(url, "text/plain;charset=UTF-8", strings.NewReader(body))
	}
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

// trace is what strace saw, as line numbers in the order of its log.
type trace struct {
	reads  map[string]int // end of the read of the request that declares a name
	writes map[string]int // begin of the write of its acknowledgement
	syncs  [][2]int       // begin and end of each sync of the store that worked
	tails  map[string]written
}

// written is the end of what was last written to a file descriptor: an acknowledgement may lie on both sides of two writes.
type written struct {
	line int
	text string
}

// maxTail is longer than an acknowledgement's beginning, which is what is looked for.
const maxTail = 400

var (
	declared     = regexp.MustCompile(`create_container[^{]*{\\"name\\":\\"(sync-[0-9-]+)\\"`)
	acknowledged = regexp.MustCompile(`43\d+\[\{\\"changed\\":true,\\"container\\":\{\\"id\\":\\"[0-9a-v]+\\",\\"name\\":\\"(sync-[0-9-]+)\\"`)
)

// readTrace parses the log. A call that another thread interrupted spans two lines, of which the first has the arguments of
// a write or a sync, and the second those of a read.
func readTrace(t *testing.T, path string) *trace {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tr := &trace{reads: map[string]int{}, writes: map[string]int{}, tails: map[string]written{}}
	pending := map[string]int{} // thread -> line at which its sync began
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for n := 0; lines.Scan(); n++ {
		tr.line(n, lines.Text(), pending)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr *trace) line(n int, line string, pending map[string]int) {
	thread, call, _ := strings.Cut(line, " ")
	call = strings.TrimSpace(call)
	unfinished := strings.HasSuffix(call, "<unfinished ...>")
	switch {
	case strings.HasPrefix(call, "read(") && !unfinished, strings.HasPrefix(call, "<... read resumed"):
		for _, name := range declared.FindAllStringSubmatch(call, -1) {
			tr.reads[name[1]] = n
		}
	case strings.HasPrefix(call, "write("):
		tr.write(n, call)
	case isSync(call) && unfinished:
		pending[thread] = n
	case isSync(call) && strings.HasSuffix(call, "= 0"):
		tr.syncs = append(tr.syncs, [2]int{n, n})
	case strings.HasPrefix(call, "<... fdatasync resumed"), strings.HasPrefix(call, "<... fsync resumed"):
		if begin, ok := pending[thread]; ok && strings.HasSuffix(call, "= 0") {
			tr.syncs = append(tr.syncs, [2]int{begin, n})
		}
		delete(pending, thread)
	}
}

// write looks for acknowledgements in a write, and in what it continues.
func (tr *trace) write(n int, call string) {
	to, rest, _ := strings.Cut(call, ", \"")
	body := rest[:max(0, strings.LastIndex(rest, "\""))]
	last := tr.tails[to]
	text := last.text + body
	for _, at := range acknowledged.FindAllStringSubmatchIndex(text, -1) {
		name, line := text[at[2]:at[3]], n
		if at[0] < len(last.text) {
			line = last.line
		}
		if _, seen := tr.writes[name]; !seen {
			tr.writes[name] = line
		}
	}
	tr.tails[to] = written{n, text[max(0, len(text)-maxTail):]}
}

func isSync(call string) bool {
	return (strings.HasPrefix(call, "fdatasync(") || strings.HasPrefix(call, "fsync(")) && strings.Contains(call, "flow-manager.db")
}

// synced tells whether a sync lies between the request and its acknowledgement.
func (tr *trace) synced(name string) error {
	read, asked := tr.reads[name]
	write, answered := tr.writes[name]
	if !asked || !answered {
		return fmt.Errorf("%s: the trace shows its request: %v, its acknowledgement: %v", name, asked, answered)
	}
	for _, s := range tr.syncs {
		if read < s[0] && s[1] < write {
			return nil
		}
	}
	return fmt.Errorf("%s: no sync of the store between line %d (request) and %d (acknowledgement)", name, read, write)
}
