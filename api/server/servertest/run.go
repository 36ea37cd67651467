package servertest

import (
	"context"
	"errors"

	"github.com/flow-manager/flow-manager/store"
)

// Run runs a server on its store. What it returns ends the server, then closes the store, and tells what either has to say.
func Run(app interface{ Run(context.Context) error }, st *store.Store) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, st.Close())
	}
}
