package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A request with an idempotency key is safe to repeat: over another connection, to another process, after the result is
// gone again, and where nobody knows whether it was accepted.
func TestKeys_TheFirstResultOutlivesTheManager(t *testing.T) {
	m := newManager(t)
	c := m.dial()
	body := func(label, id string) object {
		return object{"image": "example/none:1", "labels": object{"label": label}, "idempotency_key": "0123456789abcdef", "request_id": id}
	}
	first := c.must(t, "create_container", body("a", "one"))
	c.must(t, "start_container", object{"container_id": first["container_id"]})
	same := func(c *wsClient, id string) {
		t.Helper()
		again := c.must(t, "create_container", body("a", id))
		if again["container_id"] != first["container_id"] || again["generation"] != 1.0 || again["changed"] != true || again["request_id"] != id {
			t.Errorf("first %v, then %v", first, again)
		}
		c.refused(t, "create_container", body("b", id), "conflict_error")
		c.refused(t, "apply_container", object{"name": "other", "image": "example/none:1", "idempotency_key": "0123456789abcdef"}, "conflict_error")
	}
	same(c, "two")
	c.close()
	same(m.dial(), "three")
	m.kill()
	m.start()
	c = m.dial()
	same(c, "four")
	if list := c.must(t, "list_containers", object{}); list["count"] != 1.0 {
		t.Errorf("declared: %v", list)
	}
	c.must(t, "delete_container", object{"container_id": first["container_id"]})
	c.wait(t, "container_deleted", first["container_id"])
	same(c, "five")
	if list := c.must(t, "list_containers", object{}); list["count"] != 0.0 {
		t.Errorf("declared anew: %v", list)
	}
}

// The manager dies between the commit and the acknowledgement, which is when a client has to repeat itself.
func TestKeys_AnUnansweredRequestIsRepeated(t *testing.T) {
	m := newManager(t)
	m.stop()
	m.start("FLOW_FAILPOINT=after-accept")
	body := object{"image": "example/none:1", "idempotency_key": "0123456789abcdef"}
	if answer, err := m.dial().ask("create_container", body); err == nil {
		t.Fatalf("answered: %v", answer)
	}
	if err := m.wait(); err == nil {
		t.Fatal("the failpoint was not reached")
	}
	m.start()
	c := m.dial()
	again := c.must(t, "create_container", body)
	if list := c.must(t, "list_containers", object{}); list["count"] != 1.0 || list["containers"].([]any)[0].(object)["id"] != again["container_id"] {
		t.Errorf("answered with %v, declared %v", again, list)
	}
}

func TestKeys_ManyAtOnceMakeOne(t *testing.T) {
	const clients = 64
	m := newManager(t)
	name := named(t, "one")
	answers := make([]object, clients)
	var group sync.WaitGroup
	for i := range clients {
		c := m.dial()
		group.Go(func() {
			answers[i], _ = c.ask("create_container", object{"name": name, "image": echoImage, "idempotency_key": "0123456789abcdef", "request_id": fmt.Sprint(i)})
		})
	}
	group.Wait()
	for i, a := range answers {
		if a["ok"] != true || a["container_id"] != answers[0]["container_id"] || a["changed"] != true || a["request_id"] != fmt.Sprint(i) {
			t.Errorf("%v, and %v", answers[0], a)
		}
	}
	c := m.dial()
	if list := c.must(t, "list_containers", object{}); list["count"] != 1.0 {
		t.Errorf("declared: %v", list)
	}
	m.eventually("it is made", func() error {
		if n := len(ofInstance(t, m.instance(t, c))); n != 1 {
			return fmt.Errorf("%d containers", n)
		}
		return nil
	})
}

// Of clients that all saw the same generation exactly one may change it; the others learn what they missed.
func TestKeys_OneClientOfAGenerationWins(t *testing.T) {
	const clients, rounds = 8, 5
	m := newManager(t)
	c := m.dial()
	name := named(t, "contended")
	c.must(t, "create_container", object{"name": name, "image": "example/none:1"})
	peers := make([]*wsClient, clients)
	for i := range peers {
		peers[i] = m.dial()
	}
	for round := range rounds {
		answers := make([]object, clients)
		var group sync.WaitGroup
		for i, p := range peers {
			group.Go(func() {
				answers[i], _ = p.ask("apply_container", object{"name": name, "image": "example/none:1", "user": fmt.Sprint(round*clients + i), "if_generation": round + 1})
			})
		}
		group.Wait()
		won, lost := 0, 0
		for _, a := range answers {
			details, _ := a["details"].(object)
			switch {
			case a["ok"] == true && a["generation"] == float64(round+2):
				won++
			case a["error_type"] == "conflict_error" && details["generation"] == float64(round+2) && details["if_generation"] == float64(round+1) &&
				details["declared_by"] == "operator" && strings.Contains(a["message"].(string), "operator"):
				lost++
			}
		}
		if won != 1 || lost != clients-1 {
			t.Fatalf("%d won, %d lost: %v", won, lost, answers)
		}
	}
}
