package flow_test

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/flow-manager/flow-manager/sockets/flow"
)

// A flow that adds, tells of what it did, and ends when it is asked to.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	f := flow.New("") // the socket that the manager mounted
	f.OnLifecycle(func(event string, grace time.Duration) { fmt.Println(event, "within", grace) })
	f.Handle("add", func(ctx context.Context, m *flow.Message) {
		var in struct{ A, B int }
		if err := m.Decode(&in); err != nil {
			fmt.Println("add:", err)
			return
		}
		sum := map[string]any{"type": "sum", "sum": in.A + in.B}
		if err := m.Reply(ctx, sum); err != nil {
			fmt.Println("reply:", err)
		}
		if err := f.Event(ctx, "adder", "added", sum); err != nil {
			fmt.Println("tell:", err)
		}
	})
	f.Ready()
	_ = f.Run(ctx) // until SIGTERM
}
