package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller"
)

// classed wraps an engine's error with its class; the engine's text stays for people to read.
func classed(err error) error {
	if err == nil {
		return nil
	}
	if _, told := errors.AsType[*api.Error](err); told {
		return err
	}
	class := classOf(err)
	if class == nil {
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

func classOf(err error) error {
	switch {
	case client.IsErrConnectionFailed(err), errdefs.IsUnavailable(err):
		return controller.ErrUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return controller.ErrUnavailable
	case errdefs.IsNotFound(err):
		return controller.ErrAbsent
	case errdefs.IsConflict(err):
		return controller.ErrConflict
	case errdefs.IsInvalidArgument(err):
		return controller.ErrInvalid
	}
	return nil
}
