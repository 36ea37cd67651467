package test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A client that is cut off at random while containers come, change and go, and whose manager is killed in the middle, rebuilds by
// events alone what the store holds, and has read every event that is kept once and in order. STREAM_SECONDS (30) says for how
// long.
func TestStream_RebuildsWhatTheStoreHolds(t *testing.T) {
	t.Parallel()
	long := number(t, "STREAM_SECONDS", 30)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := newManager(t)
	c := m.dial()
	begin := c.hello["resource_version"].(string)
	c.close()
	w := newWatcher(begin)
	half := time.Duration(long) * time.Second / 2
	w.churn(t, m, seed, half, true)
	m.start()
	w.churn(t, m, seed+1, half, false)

	c = m.dial()
	m.eventually("the watcher holds what the store does", func() error {
		if err := w.follow(m.addr, -1); err != nil {
			t.Fatal(err)
		}
		return w.compare(c)
	})
	w.mustHaveReadAll(t, m.addr, begin)
	t.Logf("%d events over %d connections, %d containers in the end", len(w.order), w.cuts, len(w.holds))
	m.clean(t, c)
}

// churn has clients change things for a while, in the end of which the manager may be killed, and the watcher cut off.
func (w *watcher) churn(t *testing.T, m *manager, seed uint64, long time.Duration, killed bool) {
	t.Helper()
	var over atomic.Bool
	var clients sync.WaitGroup
	for i := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		names := []string{named(t, fmt.Sprint("a", i)), named(t, fmt.Sprint("b", i))}
		clients.Go(func() { change(m.addr, names, random, &over) })
	}
	random := rand.New(rand.NewPCG(seed, 99))
	for end := time.Now().Add(long); time.Now().Before(end); {
		if err := w.follow(m.addr, random.IntN(40)); err != nil {
			t.Error(err)
			break
		}
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond) // what is missed meanwhile
	}
	if killed {
		m.kill()
	}
	over.Store(true)
	clients.Wait()
}

// change asks for something at random again and again. What is refused, or cut off, was not asked for.
func change(addr string, names []string, random *rand.Rand, over *atomic.Bool) {
	c, err := dial(addr)
	if err != nil {
		return
	}
	defer c.close()
	go c.drain()
	for err == nil && !over.Load() {
		name := names[random.IntN(len(names))]
		request, body := "apply_container", object{"name": name, "image": echoImage, "labels": object{"n": fmt.Sprint(random.IntN(3))},
			"environment": object{"N": fmt.Sprint(random.IntN(2))}, "stop_grace_seconds": 1}
		switch random.IntN(8) {
		case 0:
			request, body = "delete_container", object{"container_id": name}
		case 1:
			request, body = "stop_container", object{"container_id": name}
		case 2, 3:
			request, body = "restart_container", object{"container_id": name}
		}
		_, err = c.ask(request, body)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // a client's own pace
	}
}

// compare tells how what the watcher holds differs from what the manager says of each container.
func (w *watcher) compare(c *wsClient) error {
	list, err := c.ask("list_containers", object{})
	if err != nil {
		return err
	}
	stored := map[string]object{}
	for _, item := range list["containers"].([]any) {
		id := item.(object)["id"].(string)
		answer, err := c.ask("get_container", object{"container_id": id})
		if err != nil {
			return err
		}
		container, ok := answer["container"].(object)
		if !ok {
			return fmt.Errorf("%s is gone meanwhile", id)
		}
		for _, joined := range []string{"socket_connected", "last_communication", "uptime", "uptime_seconds"} {
			delete(container["status"].(object), joined)
		}
		stored[id] = container
	}
	if diff := cmp.Diff(stored, w.holds); diff != "" {
		return fmt.Errorf("stored (-), rebuilt (+):\n%s", diff)
	}
	return nil
}

// mustHaveReadAll compares with what a client reads that was never cut off. Of containers that are gone, how they stood may be told
// to one who was there and not be told again.
func (w *watcher) mustHaveReadAll(t *testing.T, addr, begin string) {
	t.Helper()
	whole := newWatcher(begin)
	if err := whole.follow(addr, -1); err != nil {
		t.Fatal(err)
	}
	if err := w.follow(addr, -1); err != nil {
		t.Fatal(err)
	}
	had := slices.DeleteFunc(w.order[:slices.Index(w.order, whole.version)+1], func(version string) bool {
		_, again := whole.read[version]
		return !again && w.read[version] == "container_changed"
	})
	if diff := cmp.Diff(whole.order, had); diff != "" {
		t.Errorf("told again (-), read (+):\n%s", diff)
	}
}
