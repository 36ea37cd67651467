package docker

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flow-manager/flow-manager/api"
)

// Who reads slowly reads all that a container wrote, though that was removed meanwhile. Nothing of it is left when nobody reads.
func TestOutput_OfAContainerThatIsRemoved(t *testing.T) {
	for name, tt := range map[string]struct {
		keep bool
		want []string
		err  api.ErrorType
	}{
		"kept":     {true, []string{"out a", "out b", "out c", "out d"}, ""},
		"not kept": {false, []string{"out a", "out b"}, api.ContainerNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			e := &printed{}
			e.write(line(0, "a"))
			ended := make(chan struct{})
			e.follows = append(e.follows, func(give func(...api.LogLine)) {
				give(e.write(now("b"), now("c"), now("d"))[0]) // the others are written before the removal, and not given
				<-ended
			})
			r := e.runtime(t)
			release := func() {}
			if tt.keep {
				release = r.Keep("x")
			}
			var got []string
			err := r.Output(t.Context(), "x", api.LogOptions{Tail: -1, Follow: true}, func(l api.LogLine) error {
				if got = append(got, said(l)); l.Text == "b" {
					if err := r.Remove(t.Context(), "x"); err != nil {
						t.Error(err)
					}
					close(ended)
				}
				return nil
			})
			if is, _ := errors.AsType[*api.Error](err); (is == nil) != (tt.err == "") || is != nil && is.Type != tt.err {
				t.Errorf("got %v, want %s", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			release()
			if left, err := os.ReadDir(r.config.Folders[0]); len(left) > 0 || len(r.kept.by) > 0 || err != nil {
				t.Errorf("%v, %v and %v are left", left, r.kept.by, err)
			}
		})
	}
}
