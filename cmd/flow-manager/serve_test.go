package main

import (
	"errors"
	"testing"

	"github.com/flow-manager/flow-manager/api/auth"
)

// Who asks a probe logs in with nothing: where clients have to, it names no container.
func TestManager_Shown(t *testing.T) {
	why := errors.New("StoreRestored: it would then make anew web; token=abcdefgh")
	for _, tt := range []struct {
		tokens *auth.Tokens
		want   string
	}{
		{nil, "StoreRestored: it would then make anew web; token=[FILTERED]"},
		{&auth.Tokens{}, "StoreRestored: the manager's log says more"},
	} {
		m := &manager{tokens: tt.tokens}
		if got := m.shown(why); got == nil || got.Error() != tt.want {
			t.Errorf("got %v, want %s", got, tt.want)
		}
		if m.shown(nil) != nil {
			t.Error("an error out of nothing")
		}
	}
}
