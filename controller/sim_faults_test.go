//go:build sim

package controller

import (
	"context"
	"slices"
	"time"
)

// harm does what a fault step says.
func (w *simWorld) harm(f simStep) {
	e := w.engine
	if f.Kind == "" {
		return
	}
	e.mu.Lock()
	w.court.note("fault %s %s %d", f.Kind, f.Name, f.Arg)
	e.mu.Unlock()
	switch f.Kind {
	case "fail-call":
		calls := [8]string{"create", "start", "stop", "remove", "inspect", "list", "create", "kill"}
		classes := [4]error{ErrUnavailable, errEngine, ErrConflict, context.DeadlineExceeded}
		w.arm(&simFault{name: f.Name, call: calls[f.Arg%8], after: f.Arg&8 != 0, err: classes[f.Arg>>4]})
	case "slow-call":
		calls := [8]string{"create", "start", "stop", "remove", "inspect", "rename", "create", "create"}
		delays := [4]time.Duration{2 * time.Second, callTimeout + 7*time.Second, callTimeout + 7*time.Second, 3 * callTimeout}
		for range [8]int{7: 3}[f.Arg%8] + 1 {
			w.arm(&simFault{name: f.Name, call: calls[f.Arg%8], after: f.Arg&8 != 0, delay: delays[f.Arg>>4]})
		}
	case "sweep":
		e.mu.Lock()
		if d := w.court.model.live[f.Name]; d != nil {
			w.folders[d.id], w.listening[d.id] = false, false
		}
		e.mu.Unlock()
	case "deaf":
		w.arm(&simFault{name: f.Name, call: "open", err: errEngine})
	case "code":
		w.failCode(f.Arg)
	case "events":
		delays := [4]time.Duration{0, 0, time.Nanosecond, 3 * time.Second} // lost, lost, doubled, late
		for range 1 + f.Arg>>2&3 {
			w.arm(&simFault{name: f.Name, call: "event", delay: delays[f.Arg&3]})
		}
	case "term":
		how := [4]reaction{{}, {ignore: true}, {after: 2 * time.Second, code: 143}, {code: 1}}
		e.mu.Lock()
		e.terms[f.Name] = how[f.Arg&3]
		e.mu.Unlock()
	case "dead":
		e.mu.Lock()
		if c := e.oursLocked(f.Name); c != nil && (c.State == "exited" || c.State == "created") {
			w.court.disturb(c.ID)
			c.State = "dead"
			e.tellLocked(c, Changed)
		}
		e.mu.Unlock()
	case "refuse-limit":
		e.mu.Lock()
		e.refused[f.Name] = time.Now().Add([4]time.Duration{time.Second, 20 * time.Second, 3 * time.Minute, time.Hour}[f.Arg&3])
		e.mu.Unlock()
	case "stubborn":
		e.mu.Lock()
		if d := w.court.model.live[f.Name]; d != nil {
			w.court.file(d.id).failed[""] = true // what cannot be killed makes no room for an update
		}
		e.stubborn[f.Name] = time.Now().Add([4]time.Duration{time.Second, 20 * time.Second, 3 * time.Minute, 8 * time.Minute}[f.Arg&3])
		e.mu.Unlock()
	case "ail":
		e.mu.Lock()
		e.ailing[f.Name] = time.Now().Add([4]time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute}[f.Arg&3])
		e.mu.Unlock()
	case "pull":
		how := [4]simFault{{delay: time.Minute}, {delay: time.Hour}, {err: errEngine}, {err: ErrUnauthorized}}[f.Arg&3]
		how.call, how.name = "pull", [2]string{"app2", "missing"}[f.Arg>>2&1]
		w.arm(&how)
	case "prune":
		e.mu.Lock()
		delete(e.pulled, "app2")
		e.mu.Unlock()
	case "disk-full":
		w.life.fill([4]time.Duration{300 * time.Millisecond, 3 * time.Second, 20 * time.Second, 2 * time.Minute}[f.Arg&3])
	case "damage":
		w.damage(f.Name)
	case "back-up":
		w.backUp()
	case "copy-back":
		w.broke(w.copyBack())
	case "twin":
		w.broke(w.harmTwin(f.Arg))
	case "clock":
		by := [8]time.Duration{time.Hour, -time.Hour, 10 * time.Minute, -10 * time.Minute, 40 * time.Second, -40 * time.Second, 25 * time.Hour, -25 * time.Hour}[f.Arg&7]
		e.skew.Add(int64(by))
	case "engine-stop":
		w.stopEngine(f)
	case "away", "engine-restart", "stream", "reboot":
		w.outage(f)
	case "kill":
		w.life.torn.Store(int64(f.Arg / 32 * (f.Arg + 1)))
		w.life.left.Store(int64(1 + f.Arg%32))
	case "restart":
		w.broke(w.reboot())
	default:
		e.hand(f.Kind, f.Name, f.Arg)
	}
}

func (w *simWorld) arm(f *simFault) {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	w.engine.armed = append(w.engine.armed, f)
}

// stopEngine has the engine end all containers before it goes, as one does that is stopped. What the manager starts again
// meanwhile it ends as well.
func (w *simWorld) stopEngine(f simStep) {
	e := w.engine
	code, pause := [4]int{0, 143, 137, 1}[f.Arg&3], [4]time.Duration{0, 50 * time.Millisecond, time.Second, 4 * time.Second}[f.Arg>>2&3]
	for range 2 {
		e.mu.Lock()
		e.armed = slices.DeleteFunc(e.armed, func(armed *simFault) bool { return armed.call == "event" })
		w.court.stopping(pause + time.Minute)
		e.signalLocked()
		e.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		e.mu.Lock()
		e.stopLocked(code)
		e.mu.Unlock()
		time.Sleep(pause)
	}
	if f.Arg&1 != 0 { // and what comes back in its place is lost once more, after it has told of something and before it is known
		w.arm(&simFault{call: "list", delay: 4 * time.Second, err: errEngine})
		defer time.AfterFunc(2*time.Second, func() { e.hand("hand-start", f.Name, 0) })
	}
	f.Kind, f.Arg = "engine-restart", f.Arg>>4<<1|1
	w.outage(f)
}

// outage takes the engine, its containers, its event stream or the whole host away for a while.
func (w *simWorld) outage(f simStep) {
	e := w.engine
	if f.Kind == "reboot" {
		if twin := w.twin; twin != nil {
			defer func() { w.broke(w.bootTwin(twin.dir)) }()
			w.broke(w.endTwin())
		}
		w.life.torn.Store(int64(1 + f.Arg))
		w.life.rebooted = true
		w.life.kill()
		w.boots++
	}
	e.mu.Lock()
	e.breakStreamLocked(f.Kind != "stream")
	if f.Kind == "engine-restart" || f.Kind == "reboot" {
		e.restartLocked([2]int{0, 137}[f.Arg&1])
	}
	w.court.outage()
	if f.Kind == "reboot" {
		clear(w.folders)
		clear(w.listening)
	}
	e.mute = f.Kind == "stream"
	e.mu.Unlock()
	lasts := [4]time.Duration{time.Millisecond, 3 * time.Second, 20 * time.Second, 2 * time.Minute}[f.Arg>>1&3]
	if f.Kind == "stream" { // others still reach the engine meanwhile
		time.AfterFunc(lasts, e.speak)
		if f.Arg&8 != 0 {
			e.hand("hand-restart", f.Name, 0)
		}
		return
	}
	time.Sleep(lasts)
	e.mu.Lock()
	e.away = false
	w.court.outage()
	e.mu.Unlock()
}
