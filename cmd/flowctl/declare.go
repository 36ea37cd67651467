package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// order is one declaring request. Its errors are led by about, where there is one.
type order struct {
	event   string
	body    map[string]any
	answers []string // the events that tell it was observed
	about   string
}

// accepted is the acknowledgement of an order.
type accepted struct {
	Container  json.RawMessage `json:"container"`
	Generation int64           `json:"generation"`
	Changed    bool            `json:"changed"`

	name   string
	fresh  bool // nothing has been observed of it yet
	answer <-chan Event
}

// waiting says whether and how long to wait until what was declared is observed.
type waiting struct {
	wanted bool
	limit  time.Duration
}

func (w *waiting) addFlags(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&w.wanted, "wait", false, "wait until "+what)
	cmd.Flags().DurationVar(&w.limit, "wait-timeout", time.Minute, "how long --wait may take, for all together")
}

func (w *waiting) check() error {
	if w.limit <= 0 {
		return usagef("--wait-timeout must be more than 0")
	}
	return nil
}

// declare sends the orders one after the other, then waits for all. A refusal of one does not keep the others from being
// sent; anything else that goes wrong does.
func (a *app) declare(ctx context.Context, orders []order, w waiting, verb func(accepted) string) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	done, failures := a.orderAll(ctx, c, orders, verb)
	if err := a.printDeclared(done, len(orders) > 1); err != nil {
		failures = append(failures, err)
	}
	if w.wanted {
		failures = append(failures, a.observe(ctx, c, done, w.limit)...)
	}
	return failures.orNil()
}

func (a *app) orderAll(ctx context.Context, c *Client, orders []order, verb func(accepted) string) ([]accepted, several) {
	var done []accepted
	var failures several
	for _, o := range orders {
		ack, err := a.order(ctx, c, o)
		if err == nil {
			done = append(done, ack)
			err = a.sayAccepted(ack, verb)
		}
		if err == nil {
			continue
		}
		failures = append(failures, o.explain(err))
		if !refused(err) {
			break
		}
	}
	return done, failures
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
	ack := accepted{answer: c.Expect(requestID, o.answers...)}
	if err := a.ask(ctx, c, o.event, o.body, &ack); err != nil {
		return ack, err
	}
	var container struct {
		Name   string `json:"name"`
		Status struct {
			ObservedGeneration int64 `json:"observed_generation"`
		} `json:"status"`
	}
	if err := json.Unmarshal(ack.Container, &container); err != nil {
		return ack, fmt.Errorf("read the answer to %s: %w", o.event, err)
	}
	ack.name, ack.fresh = container.Name, container.Status.ObservedGeneration == 0
	return ack, nil
}

// observe waits for the answer to each; what fails for one does not hide the others.
func (a *app) observe(ctx context.Context, c *Client, done []accepted, limit time.Duration) several {
	ctx, cancel := within(ctx, limit, "declared, but not observed")
	defer cancel()
	var failures several
	for _, ack := range done {
		e, err := c.Await(ctx, ack.answer)
		if err == nil {
			err = a.sayObserved(ack, e)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", ack.name, err))
		}
	}
	return failures
}

func (a *app) sayAccepted(ack accepted, verb func(accepted) string) error {
	said := verb(ack)
	if !ack.Changed {
		said = "unchanged"
	}
	return a.say("%s %s (generation %d)", ack.name, said, ack.Generation)
}

func (a *app) sayObserved(ack accepted, e Event) error {
	var answer struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(e.Data, &answer); err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	return a.say("%s is %s", ack.name, answer.Status)
}

// printDeclared prints the containers as they were declared, where lines are not what is wanted.
func (a *app) printDeclared(done []accepted, list bool) error {
	if a.output == "table" || len(done) == 0 {
		return nil
	}
	containers := make([]json.RawMessage, 0, len(done))
	for _, ack := range done {
		containers = append(containers, ack.Container)
	}
	return a.printObjects(containers, list)
}

// byName is one order of the same event for each container.
func byName(event, answer string, names []string) []order {
	orders := make([]order, 0, len(names))
	for _, name := range names {
		o := order{event: event, body: map[string]any{"container_id": name}, answers: []string{answer}}
		if len(names) > 1 {
			o.about = name
		}
		orders = append(orders, o)
	}
	return orders
}

func (a *app) startCommand() *cobra.Command {
	return a.nameCommand(&cobra.Command{
		Use:     "start NAME|ID... [--wait]",
		Short:   "Declare containers running",
		Long:    "Declare containers running: stopped ones start, paused ones go on, and one that was given up is tried again.",
		Example: "  flowctl start hello --wait",
	}, "they run", api.StartContainer, api.ContainerStarted)
}

func (a *app) stopCommand() *cobra.Command {
	return a.nameCommand(&cobra.Command{
		Use:     "stop NAME|ID... [--wait]",
		Short:   "Declare containers stopped",
		Long:    "Declare containers stopped: they stay so, whatever happens, until they are started.",
		Example: "  flowctl stop hello other --wait",
	}, "they have stopped", api.StopContainer, api.ContainerStopped)
}

func (a *app) deleteCommand() *cobra.Command {
	return a.nameCommand(&cobra.Command{
		Use:     "delete NAME|ID... [--wait]",
		Short:   "Delete containers",
		Long:    "Delete containers, with their sockets and anonymous volumes. Named volumes stay.",
		Example: "  flowctl delete hello --wait",
	}, "they are gone", api.DeleteContainer, api.ContainerDeleted)
}

func (a *app) nameCommand(cmd *cobra.Command, until, event, answer string) *cobra.Command {
	var w waiting
	w.addFlags(cmd, until)
	cmd.Args = arguments(cobra.MinimumNArgs(1))
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(); err != nil {
			return err
		}
		verb := func(accepted) string { return cmd.Name() + " accepted" }
		return a.declare(cmd.Context(), byName(event, answer, names), w, verb)
	}
	return cmd
}
