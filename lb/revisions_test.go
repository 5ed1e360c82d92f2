package lb

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestRevisions holds that whoever waits for a revision learns what became of it.
func TestRevisions(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		then func(*revisions, context.CancelFunc)
		want error
	}{
		{"in force", func(r *revisions, _ context.CancelFunc) { r.reached(1, nil); r.reached(2, nil) }, nil},
		{"not in force", func(r *revisions, _ context.CancelFunc) { r.reached(2, broken) }, broken},
		{"overtaken", func(r *revisions, _ context.CancelFunc) { r.reached(3, nil) }, nil},
		{"ended", func(r *revisions, _ context.CancelFunc) { r.reached(1, nil); r.end() }, errEnded},
		{"given up", func(_ *revisions, cancel context.CancelFunc) { cancel() }, context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, got := new(revisions), make(chan error, 1)
				go func() { got <- r.wait(ctx, 2) }()
				synctest.Wait()
				test.then(r, cancel)
				if err := <-got; err != test.want {
					t.Errorf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}
