package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// order is one declaring request. Its errors are led by about, where there is one.
type order struct {
	event   string
	name    string // of the container that it is about
	body    map[string]any
	answers []string // the events that tell it was observed
	about   string
}

// accepted is the acknowledgement of an order.
type accepted struct {
	Container  json.RawMessage `json:"container"`
	Generation int64           `json:"generation"`
	Changed    bool            `json:"changed"`

	order  order
	name   string
	image  string
	fresh  bool // nothing has been observed of it yet
	answer <-chan Event
}

// manner is how to declare: whether to wait until it is observed, and how long, or only to ask what it would come to.
type manner struct {
	wait   bool
	until  string // how far what runs is to have come; "" where nothing is to run
	limit  time.Duration
	dryRun bool
}

// addFlags adds those of a command after which containers are as until says.
func (m *manner) addFlags(cmd *cobra.Command, until string) {
	cmd.Flags().BoolVar(&m.wait, "wait", false, "wait until "+until)
	cmd.Flags().DurationVar(&m.limit, "wait-timeout", time.Minute, "how long --wait may take, for all together")
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "declare nothing, and say what it would come to")
}

// addRunFlags is addFlags for a command after which containers run.
func (a *app) addRunFlags(m *manner, cmd *cobra.Command, until string) {
	m.addFlags(cmd, until+", and what runs is available: ready, and up for its monitor_seconds (5)")
	cmd.Flags().StringVar(&m.until, "wait-for", api.WaitForAvailable, "--wait until what runs has come as far as this `state`: "+strings.Join(levels(), ", "))
	a.completeFlag(cmd, "wait-for", levels)
}

// levels are how far what runs can have come.
func levels() []string {
	return []string{api.WaitForRunning, api.WaitForReady, api.WaitForAvailable}
}

func (m *manner) check(cmd *cobra.Command) error {
	given := cmd.Flags().Lookup("wait-for")
	if given != nil && given.Changed {
		m.wait = true
	}
	switch {
	case given != nil && !slices.Contains(levels(), m.until):
		return usagef("--wait-for must be one of %s, not %q", strings.Join(levels(), ", "), m.until)
	case m.limit <= 0:
		return usagef("--wait-timeout must be more than 0")
	case m.wait && m.dryRun:
		return usagef("--dry-run declares nothing, so there is nothing to --wait for: give one of them")
	}
	return nil
}

// declare sends the orders one after the other, then waits for all. A refusal of one does not keep the others from being
// sent; anything else that goes wrong does.
func (a *app) declare(ctx context.Context, orders []order, m manner, verb func(accepted) string) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if m.dryRun {
		return a.rehearse(ctx, c, orders)
	}
	p := a.newProgress()
	if m.wait {
		c.Listen(p.hear)
	}
	var done []accepted
	failures := eachOrder(orders, func(o order) error {
		ack, err := a.order(ctx, c, o)
		if err != nil {
			return err
		}
		done = append(done, ack)
		p.follow(ack.image)
		return a.sayAccepted(ack, verb)
	})
	if m.wait {
		failures = append(failures, a.observe(ctx, c, done, p, m)...)
		a.lookAgain(ctx, c, done)
	}
	if err := a.printDeclared(done, len(orders) > 1); err != nil {
		failures = append(failures, err)
	}
	return failures.orNil()
}

// eachOrder goes on behind a refusal, and with nothing else that goes wrong.
func eachOrder(orders []order, do func(order) error) several {
	var failures several
	for _, o := range orders {
		err := do(o)
		if err == nil {
			continue
		}
		failures = append(failures, o.explain(err))
		if !refused(err) {
			break
		}
	}
	return failures
}

func (o order) explain(err error) error {
	if o.about == "" {
		return err
	}
	return fmt.Errorf("%s: %w", o.about, err)
}

func (a *app) order(ctx context.Context, c *Client, o order) (accepted, error) {
	requestID := rand.Text()
	o.body["request_id"] = requestID
	ack := accepted{order: o, answer: c.Expect(requestID, o.answers...)}
	if err := a.ask(ctx, c, o.event, o.body, &ack); err != nil {
		return ack, err
	}
	var container struct {
		Name string `json:"name"`
		Spec struct {
			Image string `json:"image"`
		} `json:"spec"`
		Status struct {
			ObservedGeneration int64 `json:"observed_generation"`
		} `json:"status"`
	}
	if len(ack.Container) > 0 { // a container that was dropped at once is not told
		if err := json.Unmarshal(ack.Container, &container); err != nil {
			return ack, fmt.Errorf("read the answer to %s: %w", o.event, err)
		}
	}
	ack.name, ack.image, ack.fresh = cmp.Or(container.Name, o.name), container.Spec.Image, container.Status.ObservedGeneration == 0
	return ack, nil
}

// observe waits for the outcome of each; what fails for one does not hide the others.
func (a *app) observe(whole context.Context, c *Client, done []accepted, p *progress, m manner) several {
	ctx, cancel := within(whole, m.limit, "declared, but not observed")
	defer cancel()
	for _, ack := range done {
		p.await(ack.name)
	}
	p.start()
	defer p.stop()
	var failures several
	for _, ack := range done {
		said, err := a.outcome(whole, ctx, c, ack, m.until)
		p.seen(ack.name)
		if err == nil {
			err = p.aside(func() error { return a.say("%s %s", ack.name, said) })
		}
		if err != nil {
			failures = append(failures, ack.unobserved(a.instead(whole, c, ack, err)))
		}
	}
	return failures
}

// unobserved says that what was declared stands, where that is not the server's to say.
func (ack accepted) unobserved(err error) error {
	if _, broken := errors.AsType[connectionError](err); broken {
		return fmt.Errorf("%s: declared, but not observed: %w; look what became of it: flowctl describe %[1]s", ack.name, err)
	}
	return fmt.Errorf("%s: %w", ack.name, err)
}

func (a *app) sayAccepted(ack accepted, verb func(accepted) string) error {
	said := verb(ack)
	if !ack.Changed {
		said = "unchanged"
	}
	return a.say("%s %s (generation %d)", ack.name, said, ack.Generation)
}

// lookAgain takes in how the containers are now, where lines are not what is wanted. One that cannot be looked at, as when it
// was deleted, stays as it was.
func (a *app) lookAgain(ctx context.Context, c *Client, done []accepted) {
	if a.output == "table" {
		return
	}
	for i := range done {
		if now, err := a.object(ctx, c, done[i].name); err == nil {
			done[i].Container = now
		}
	}
}

// printDeclared prints the containers as they were declared, or as they came out where that was waited for; lines are not what
// is wanted then.
func (a *app) printDeclared(done []accepted, list bool) error {
	if a.output == "table" || len(done) == 0 {
		return nil
	}
	containers := make([]json.RawMessage, 0, len(done))
	for _, ack := range done {
		if len(ack.Container) > 0 {
			containers = append(containers, ack.Container)
		}
	}
	return a.printObjects(containers, list)
}

// byName is one order of the same event for each container; all have the members of more.
func byName(event, answer string, names []string, more map[string]any) []order {
	orders := make([]order, 0, len(names))
	for _, name := range names {
		body := map[string]any{"container_id": name}
		for key, value := range more {
			body[key] = value
		}
		o := order{event: event, name: name, body: body, answers: []string{answer}}
		if len(names) > 1 {
			o.about = name
		}
		orders = append(orders, o)
	}
	return orders
}

// declaring makes a command that declares the same of each container that is named; more gives the members of its requests.
func (a *app) declaring(cmd *cobra.Command, until, event, answer string, more func() (map[string]any, error)) *cobra.Command {
	var m manner
	switch event {
	case api.StopContainer, api.PauseContainer, api.DeleteContainer:
		m.addFlags(cmd, until)
	default:
		a.addRunFlags(&m, cmd, until)
	}
	cmd.Args = arguments(cobra.MinimumNArgs(1))
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := m.check(cmd); err != nil {
			return err
		}
		members, err := more()
		if err != nil {
			return err
		}
		verb := func(accepted) string { return cmd.Name() + " accepted" }
		return a.declare(cmd.Context(), byName(event, answer, names, members), m, verb)
	}
	return a.completeNames(cmd, 0)
}

// simply is for requests that have no members of their own.
func simply() (map[string]any, error) { return nil, nil }
