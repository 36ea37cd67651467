package test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wish is a request that was accepted and changed something. By order of creation and generation wishes are in the order in
// which the manager took them.
type wish struct {
	id          string
	created     time.Time // its container
	generation  int
	state       string // that it asks for; "deleted" for none
	environment string // that it asks for; "" leaves it as it is
}

func order(a, b wish) int {
	return cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id), cmp.Compare(a.generation, b.generation))
}

// Twenty clients want different things of one container, for WISHES_SECONDS in all (20). Whenever they pause, what the last accepted one asked
// for comes to stand, on one container; nobody's wish was lost or taken twice.
func TestWishes_ManyClientsOneContainer(t *testing.T) {
	t.Parallel()
	const clients, long = 20, 5 * time.Second
	rounds := max(1, number(t, "WISHES_SECONDS", 20)/5)
	m := newManager(t)
	name := named(t, "wanted")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	wishers := make([]*wisher, clients)
	for i := range wishers {
		wishers[i] = &wisher{name: name, random: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	c := m.dial()
	go c.drain()
	for round := range rounds {
		taken, asked := playRound(t, m.addr, wishers, time.Now().Add(long))
		last := judgeOrder(t, taken)
		t.Logf("round %d: %d requests changed something %d times so far; the last of container %s: generation %d, %s %q",
			round, asked, len(taken), last.id, last.generation, last.state, last.environment)
		m.eventually("the last wish stands", func() error { return c.stands(t, name, last) })
		for _, w := range taken {
			if w.state == "deleted" && len(ofFlow(t, w.id)) > 0 {
				t.Errorf("a container of %s is left, which was deleted", w.id)
			}
		}
	}
	m.clean(t, c)
}

// playRound lets all clients ask until the deadline, and returns what was taken so far, in order, and how much was asked.
func playRound(t *testing.T, addr string, wishers []*wisher, deadline time.Time) (taken []wish, asked int) {
	t.Helper()
	var group sync.WaitGroup
	for _, w := range wishers {
		group.Go(func() { w.play(addr, deadline) })
	}
	group.Wait()
	for _, w := range wishers {
		if w.err != nil {
			t.Fatal(w.err)
		}
		taken, asked = append(taken, w.taken...), asked+w.asked
	}
	slices.SortFunc(taken, order)
	return taken, asked
}

// judgeOrder proves that each container's generations were each given to one request, up to its deletion, and returns what
// the last wish of all comes to.
func judgeOrder(t *testing.T, taken []wish) wish {
	t.Helper()
	var last wish
	for _, w := range taken {
		switch {
		case w.id != last.id && (w.generation != 1 || last.id != "" && last.state != "deleted"):
			t.Errorf("%+v comes after %+v", w, last)
		case w.id == last.id && (w.generation != last.generation+1 || last.state == "deleted"):
			t.Errorf("%+v comes after %+v", w, last)
		}
		w.environment = cmp.Or(w.environment, last.environment)
		last = w
	}
	return last
}

// stands compares what is declared and what the engine has with a wish.
func (c *wsClient) stands(t *testing.T, name string, w wish) error {
	t.Helper()
	answer, err := c.ask("get_container", object{"container_id": name})
	if err != nil {
		return err
	}
	found, there := answer["container"].(object)
	if w.state == "deleted" {
		if there || answer["error_type"] != "container_not_found" {
			return fmt.Errorf("it was deleted, and is %v", answer)
		}
		return nil
	}
	status, _ := found["status"].(object)
	if !there || found["id"] != w.id || found["generation"] != float64(w.generation) || status["observed_generation"] != found["generation"] || status["state"] != w.state {
		return fmt.Errorf("wanted %+v, got %v", w, answer)
	}
	list := ofFlow(t, w.id)
	if len(list) != 1 || list[0].ID != status["docker_id"] {
		return fmt.Errorf("%d containers of one flow", len(list))
	}
	stands := inspect(t, name)
	if rests := w.state == "stopped"; stands.ID != list[0].ID || rests == stands.State.Running || !rests && string(stands.State.Status) != w.state {
		return fmt.Errorf("the engine has it %s", stands.State.Status)
	}
	if !slices.Contains(stands.Config.Env, "N="+w.environment) {
		return fmt.Errorf("wanted N=%s, it has %v", w.environment, stands.Config.Env)
	}
	return nil
}

// wisher is a client that wants things at random.
type wisher struct {
	name   string
	random *rand.Rand
	asked  int
	taken  []wish
	err    error
}

// play asks until the deadline, at a client's own pace.
func (w *wisher) play(addr string, deadline time.Time) {
	c, err := dial(addr)
	if err != nil {
		w.err = err
		return
	}
	defer c.close()
	go c.drain()
	for w.err == nil && time.Now().Before(deadline) {
		w.err = w.ask(c)
		time.Sleep(time.Duration(w.random.IntN(50)) * time.Millisecond)
	}
}

func (w *wisher) ask(c *wsClient) error {
	requests := []struct{ event, state string }{
		{"start_container", "running"}, {"stop_container", "stopped"}, {"restart_container", "running"},
		{"pause_container", "paused"}, {"apply_container", "running"},
	}
	request := requests[w.random.IntN(len(requests))]
	if w.random.IntN(500) == 0 { // were it as likely as the others, hardly anything else would ever be accepted
		request.event, request.state = "delete_container", "deleted"
	}
	asks := wish{state: request.state}
	body := object{"container_id": w.name}
	if request.event == "apply_container" {
		asks.environment = fmt.Sprint(w.random.IntN(3))
		body = object{"name": w.name, "image": echoImage, "desired_state": asks.state, "environment": object{"N": asks.environment}}
	}
	answer, err := c.ask(request.event, body)
	if err != nil {
		return err
	}
	w.asked++
	switch {
	case answer["ok"] == true && answer["changed"] == true:
		return w.note(asks, answer)
	case answer["ok"] == true, answer["error_type"] == "conflict_error", answer["error_type"] == "container_not_found":
		return nil
	}
	return fmt.Errorf("%s: %v", request.event, answer)
}

// note remembers what an acknowledgement promises.
func (w *wisher) note(asks wish, answer object) error {
	made, ok := answer["container"].(object)
	if !ok {
		return errors.New("an acknowledgement without its container")
	}
	var err error
	asks.created, err = time.Parse(time.RFC3339Nano, made["created_at"].(string))
	asks.id, asks.generation = made["id"].(string), int(answer["generation"].(float64))
	w.taken = append(w.taken, asks)
	return err
}
