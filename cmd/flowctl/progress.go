package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

const (
	redraw = time.Second / 2 // how often a line is drawn again
	stale  = 5 * time.Second // a pull that has said nothing for so long is not what is waited for
)

// progress tells on stderr what is waited for: on a terminal by one line that is drawn again and again and leaves nothing
// behind, elsewhere by a line for each pull that is seen to begin. A terminal that can do nothing is like a file.
type progress struct {
	w     io.Writer
	width int // of the terminal; 0: there is none
	ended chan struct{}
	ends  sync.WaitGroup

	mu     sync.Mutex
	begun  time.Time
	names  []string
	images map[string]bool
	pulls  map[string]*pull
	drawn  bool
}

// pull is how far an image is.
type pull struct {
	layers map[string]api.PullProgress
	at     time.Time // when it was heard of last
}

func (a *app) newProgress() *progress {
	a.shown = &progress{w: a.stderr, width: terminalWidth(a.stderr), ended: make(chan struct{}), images: map[string]bool{}, pulls: map[string]*pull{}}
	return a.shown
}

func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) || os.Getenv("TERM") == "dumb" {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// follow has pulls of image told.
func (p *progress) follow(image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, began := p.pulls[image]; began && !p.images[image] {
		p.plain("pulling %s", image)
	}
	p.images[image] = true
}

// await names what is waited for.
func (p *progress) await(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = append(p.names, name)
}

// seen takes back one await.
func (p *progress) seen(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.names, name); i >= 0 {
		p.names = slices.Delete(p.names, i, i+1)
	}
}

// start draws until stop.
func (p *progress) start() {
	p.begun = time.Now()
	if p.width == 0 {
		return
	}
	p.ends.Go(func() {
		tick := time.NewTicker(redraw)
		defer tick.Stop()
		for {
			select {
			case <-p.ended:
				return
			case <-tick.C:
				p.draw()
			}
		}
	})
}

// stop leaves the line empty. It must be called once after start.
func (p *progress) stop() {
	close(p.ended)
	p.ends.Wait()
	p.clear()
}

// aside does what writes to the terminal, with no line in its way.
func (p *progress) aside(do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return do()
}

// hear notes how pulls get on.
func (p *progress) hear(e Event) error {
	var now api.PullProgress
	if e.Name != api.ImagePullProgress || json.Unmarshal(e.Data, &now) != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.pulls[now.Image]
	if !ok {
		known = &pull{layers: map[string]api.PullProgress{}}
		p.pulls[now.Image] = known
		if p.images[now.Image] {
			p.plain("pulling %s", now.Image)
		}
	}
	known.at = time.Now()
	if now.Layer != "" {
		known.layers[now.Layer] = now
	}
	return nil
}

// plain tells what a line says that is never taken back.
func (p *progress) plain(format string, args ...any) {
	if p.width == 0 {
		fmt.Fprintln(p.w, api.Printable(fmt.Sprintf(format, args...)))
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := []rune(api.Printable(p.line(time.Now())))
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), p.width-1)]))
	p.drawn = true
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) line(now time.Time) string {
	line := fmt.Sprintf("waiting for %s: %s", some(p.names), now.Sub(p.begun).Truncate(time.Second))
	for _, image := range slices.Sorted(maps.Keys(p.images)) {
		if pull := p.pulls[image]; pull != nil && now.Sub(pull.at) < stale {
			line += "; pulling " + image + pull.size()
		}
	}
	return line
}

// size is what is known of it in bytes.
func (p *pull) size() string {
	var current, total int64
	for _, layer := range p.layers {
		current, total = current+layer.Current, total+layer.Total
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf(", %s of %s", units.HumanSize(float64(current)), units.HumanSize(float64(total)))
}

// some names three at most.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
