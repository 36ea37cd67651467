package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Whatever the manager was doing when it was killed, what it had acknowledged is done by the next one, on exactly one
// container, without touching what ran.
func TestCrash_AtEachNamedPoint(t *testing.T) {
	t.Parallel()
	for _, point := range []string{
		"after-accept", "after-accept:2", "after-accept:3", "after-intent", "after-create", "after-record", "after-start",
		"before-status", "before-status:2", "after-status", "after-status:2", "during-stop", "during-delete",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			quiet, name := named(t, "quiet"), named(t, "a")
			m.dial().run(t, object{"name": quiet})
			m.stop()
			untouched := inspect(t, quiet)

			m.start("FLOW_FAILPOINT=" + point)
			id, acknowledged, asked := liveUntilDeath(t, m, name)
			if err := m.wait(); err == nil {
				t.Fatalf("the failpoint %s was not reached", point)
			}
			alive := m.runningRun(name)

			m.start()
			m.settles(t, name, id, acknowledged)
			judged := &churner{name: name, acknowledged: acknowledged, unanswered: asked}
			judged.judge(t, m.dial())
			if again := m.runningRun(name); alive != "" && again != "" && again != alive {
				t.Errorf("the running container was recreated: %s, then %s", alive, again)
			}
			c := m.dial()
			if now := inspect(t, quiet); now.ID != untouched.ID || now.State.StartedAt != untouched.State.StartedAt {
				t.Errorf("the quiet one was touched: %s, then %s", untouched.State.StartedAt, now.State.StartedAt)
			}
			m.clean(t, c)
		})
	}
}

// liveUntilDeath declares, stops and deletes a container until the manager dies of it. acknowledged is what it promised last,
// asked what it was asked for last.
func liveUntilDeath(t *testing.T, m *manager, name string) (id, acknowledged, asked string) {
	t.Helper()
	c, err := dial(m.addr)
	if err != nil {
		return "", "", ""
	}
	defer c.close()
	steps := []struct {
		request string
		body    object
		promise string
		event   string
	}{
		{"apply_container", object{"name": name, "image": echoImage}, "running", "container_created"},
		{"stop_container", object{"container_id": name}, "stopped", "container_stopped"},
		{"delete_container", object{"container_id": name}, "deleted", "container_deleted"},
	}
	for _, s := range steps {
		asked = s.promise
		answer, err := c.ask(s.request, s.body)
		if err != nil {
			return id, acknowledged, asked
		}
		if answer["ok"] != true {
			t.Fatalf("%s: %v", s.request, answer)
		}
		id, acknowledged = answer["container_id"].(string), s.promise
		if _, err := c.await(s.event, func(o object) bool { return o["container_id"] == id }); err != nil {
			return id, acknowledged, asked
		}
	}
	return id, acknowledged, asked
}

// runningRun names the run of a container that runs now.
func (m *manager) runningRun(name string) string {
	c, err := engine.ContainerInspect(m.t.Context(), name)
	if err != nil || !c.State.Running {
		return ""
	}
	return c.ID + " " + c.State.StartedAt
}

// settles waits until what was acknowledged, or what was accepted without an answer after it, is so.
func (m *manager) settles(t *testing.T, name, id, acknowledged string) {
	t.Helper()
	c := m.dial()
	m.eventually("settled", func() error {
		answer, err := c.ask("get_container", object{"container_id": name})
		if err != nil {
			return err
		}
		found, there := answer["container"].(object)
		if !there {
			if acknowledged == "running" || acknowledged == "stopped" {
				if _, tombstone := answer["details"].(object)["deleted_at"]; !tombstone && id != "" {
					byID, _ := c.ask("get_container", object{"container_id": id})
					if _, tombstone := byID["details"].(object)["deleted_at"]; !tombstone {
						return fmt.Errorf("an acknowledged declaration is lost: %v", byID)
					}
				}
			}
			if id != "" && len(ofFlow(t, id)) > 0 {
				return fmt.Errorf("deleted, but %d containers are left", len(ofFlow(t, id)))
			}
			return nil
		}
		status, spec := found["status"].(object), found["spec"].(object)
		if status["observed_generation"] != found["generation"] || status["state"] != spec["desired_state"] {
			return fmt.Errorf("%v, wanted %v: %v", status["state"], spec["desired_state"], status["conditions"])
		}
		if n := len(ofFlow(t, found["id"].(string))); n != 1 {
			return fmt.Errorf("%d containers of one flow", n)
		}
		return nil
	})
}

// clean deletes what is declared and proves that nothing is left over.
func (m *manager) clean(t *testing.T, c *wsClient) {
	t.Helper()
	list := c.must(t, "list_containers", object{})
	for _, item := range list["containers"].([]any) {
		if item.(object)["deleted_at"] == nil { // else it is about to go, and may be gone
			c.must(t, "delete_container", object{"container_id": item.(object)["id"]})
		}
	}
	instance := m.instance(t, c)
	m.eventually("everything is gone", func() error {
		if n := len(ofInstance(t, instance)); n > 0 {
			return fmt.Errorf("%d containers are left", n)
		}
		if left := m.socketFolders(t); left > 0 {
			return fmt.Errorf("%d socket folders are left", left)
		}
		return nil
	})
}

// At twenty random moments, while twenty containers are declared and half of them change all the time; then a few times by
// SIGTERM, which must end it cleanly just then.
func TestCrash_AtRandomMoments(t *testing.T) {
	t.Parallel()
	const kills, stops, quiet, busy = 20, 3, 10, 10
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := newManager(t)
	c := m.dial()
	for i := range quiet {
		c.must(t, "apply_container", object{"name": named(t, fmt.Sprint("quiet", i)), "image": echoImage})
	}
	m.eventually("the quiet ones run", func() error { return m.allRun(t, quiet) })
	runs := m.runs(t, quiet)

	churn := make([]*churner, busy)
	for i := range churn {
		churn[i] = &churner{name: named(t, fmt.Sprint("busy", i)), random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
	}
	for i := range kills + stops {
		var group sync.WaitGroup
		for _, one := range churn {
			group.Go(func() { one.play(m.addr) })
		}
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond) // the random moment
		if i < kills {
			m.kill()
		} else {
			m.stop()
		}
		group.Wait()
		m.start()
	}
	c = m.dial()
	for _, one := range churn {
		if one.err != nil {
			t.Fatal(one.err)
		}
		m.settles(t, one.name, one.id, one.acknowledged)
		one.judge(t, c)
	}
	if again := m.runs(t, quiet); fmt.Sprint(again) != fmt.Sprint(runs) {
		t.Errorf("running containers were touched:\n%v\n%v", runs, again)
	}
	m.clean(t, c)
}

func (m *manager) allRun(t *testing.T, n int) error {
	for i := range n {
		if m.runningRun(named(t, fmt.Sprint("quiet", i))) == "" {
			return errNotYet
		}
	}
	return nil
}

func (m *manager) runs(t *testing.T, n int) []string {
	runs := make([]string, n)
	for i := range runs {
		runs[i] = m.runningRun(named(t, fmt.Sprint("quiet", i)))
	}
	return runs
}

// churner declares one container again and again, and remembers what was acknowledged last.
type churner struct {
	name         string
	random       *rand.Rand
	id           string
	acknowledged string
	unanswered   string // accepted perhaps, after what was acknowledged
	err          error
}

// play sends random requests until the connection ends.
func (p *churner) play(addr string) {
	c, err := dial(addr)
	if err != nil {
		return // killed before it listened to us
	}
	defer c.close()
	for {
		request, promise, body := p.choose()
		p.unanswered = promise
		answer, err := c.ask(request, body)
		if err != nil {
			return
		}
		if err := p.learn(answer, promise); err != nil {
			p.err = errors.Join(p.err, fmt.Errorf("%s %s: %w", request, p.name, err))
			return
		}
	}
}

func (p *churner) choose() (request, promise string, body object) {
	switch p.random.IntN(6) {
	case 0:
		return "stop_container", "stopped", object{"container_id": p.name}
	case 1:
		return "start_container", "running", object{"container_id": p.name}
	case 2:
		return "delete_container", "deleted", object{"container_id": p.name}
	}
	return "apply_container", "running", object{"name": p.name, "image": echoImage, "desired_state": "running"}
}

// learn notes what an answer promises. A container that is not there, or on its way out, refuses; both promise nothing.
func (p *churner) learn(answer object, promise string) error {
	switch {
	case answer["ok"] == true:
		p.id, p.acknowledged, p.unanswered = answer["container_id"].(string), promise, ""
	case answer["error_type"] == "container_not_found", answer["error_type"] == "conflict_error":
		p.unanswered = ""
	default:
		return fmt.Errorf("unexpected answer: %v", answer)
	}
	return nil
}

// judge compares what stands with what was promised.
func (p *churner) judge(t *testing.T, c *wsClient) {
	t.Helper()
	stands := "deleted"
	if answer, err := c.ask("get_container", object{"container_id": p.name}); err != nil {
		t.Fatal(err)
	} else if found, there := answer["container"].(object); there {
		stands = found["spec"].(object)["desired_state"].(string)
	}
	if p.acknowledged != "" && stands != p.acknowledged && stands != p.unanswered {
		t.Errorf("%s is %s, but %q was acknowledged and %q was under way", p.name, stands, p.acknowledged, p.unanswered)
	}
}
