package test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// However many are told what containers consume, the engine is asked once for each container and interval; who is not asked about
// is not sampled.
func TestUsage_IsSampledOnceForAll(t *testing.T) {
	t.Parallel()
	m := newManager(t, "--status-interval", "1s")
	c := m.dial()
	id := c.run(t, object{"name": named(t, "consumer")})
	other := c.run(t, object{"name": named(t, "other")})
	watchers := make([]*wsClient, 5)
	for i := range watchers {
		watchers[i] = m.dial()
		watchers[i].must(t, "subscribe", object{"container_ids": []string{id}, "events": []string{"container_status_update"}})
	}
	c.must(t, "subscribe", object{"events": []string{"engine_available"}}) // it is told of everything else
	watchers[0].wait(t, "container_status_update", id)                     // what was begun for it has ended
	before := m.sampled(t)
	const ticks = 3
	for _, w := range watchers {
		for range ticks {
			update := w.wait(t, "container_status_update", nil)
			status := update["status"].(object)
			if usage := status["resource_usage"].(object); update["container_id"] != id || status["state"] != "running" || usage["pids"] == 0.0 || usage["memory_usage"] == 0.0 {
				t.Errorf("%v", update)
			}
		}
	}
	if n := m.sampled(t) - before; n < 1 || n > 2*ticks {
		t.Errorf("the engine was asked %d times for %d intervals and %d who watch one container of two", n, ticks, len(watchers))
	}
	if status := c.must(t, "get_container_status", object{"container_id": other}); status["resource_usage"].(object)["pids"] == 0.0 {
		t.Errorf("of the other: %v", status)
	}
}

// sampled is how often the engine was asked what a container consumes.
func (m *manager) sampled(t *testing.T) int {
	t.Helper()
	n := 0
	for _, found := range regexp.MustCompile(`engine_call_duration_seconds_count\{[^}]*kind="stats"[^}]*\} (\d+)`).FindAllSubmatch(m.metrics(t), -1) {
		one, _ := strconv.Atoi(string(found[1]))
		n += one
	}
	return n
}

// The activity log knows what was done before the manager was killed, and of containers that are gone.
func TestActivity_OutlivesTheManager(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "busy")})
	other := c.run(t, object{"name": named(t, "other")})
	c.must(t, "stop_container", object{"container_id": id})
	c.wait(t, "container_stopped", id)
	c.must(t, "delete_container", object{"container_id": id})
	c.wait(t, "container_deleted", id)
	m.kill()
	m.start()
	c = m.dial()
	history := c.must(t, "get_activity", object{"container_id": id})
	var asked []string
	for _, e := range history["entries"].([]any) {
		entry := e.(object)
		if entry["container_id"] != id {
			t.Errorf("of another: %v", entry)
		}
		if entry["activity_type"] == "container_declared" {
			asked = append(asked, fmt.Sprint(entry["details"].(object)["operation"]))
		}
	}
	if want := []string{"apply_container", "stop_container", "delete_container"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	newest := c.must(t, "get_activity", object{"limit": 1})["entries"].([]any)
	all := c.must(t, "get_activity", object{"limit": 1000})["entries"].([]any)
	last := all[len(all)-1].(object)
	if len(newest) != 1 || newest[0].(object)["resource_version"] != last["resource_version"] {
		t.Errorf("the newest is %v of %v", newest, last)
	}
	since := c.must(t, "get_activity", object{"since": last["timestamp"]})["entries"].([]any)
	if len(since) == 0 || len(since) >= len(all) {
		t.Errorf("since %v: %d of %d", last["timestamp"], len(since), len(all))
	}
	if of := c.must(t, "get_activity", object{"container_id": other})["entries"].([]any); len(of) == 0 {
		t.Error("nothing is known of the other")
	}
	c.refused(t, "get_activity", object{"container_id": "nobody"}, "container_not_found")
}
