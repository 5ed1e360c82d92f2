// Package demo is a load balancer that anyone can start in a second: throw-away
// certificates, real targets, four listeners with a client certificate mode each,
// and the curl commands to try them with.
//
// Start from [Run]. Nothing here is simulated: the load balancer is package lb
// reading a config file from disk, and the client is the curl on the machine.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-lb/postern/lb"
)

// readyWait bounds how long the targets may take to pass their first check.
const readyWait = 10 * time.Second

// Options says how the demo runs.
type Options struct {
	// Dir receives certificates, config and logs. Empty: a temporary folder that
	// is removed at the end.
	Dir string
	// Once runs the commands and ends; otherwise the demo stays up until the
	// context ends.
	Once bool
	// Out takes what a person reads.
	Out io.Writer
}

// ErrMisbehaved says that a command of the demo did not end as it should.
var ErrMisbehaved = errors.New("a command of the demo did not behave as expected")

// Run makes the certificates, starts targets and load balancer, and shows the
// commands. With Once it runs them too and returns ErrMisbehaved unless every one
// did what it should.
func Run(ctx context.Context, options Options) error {
	dir, remove, err := folder(options.Dir)
	if err != nil {
		return err
	}
	defer remove()
	site, err := newSite(dir, options.Once)
	if err != nil {
		return err
	}
	balancer, err := lb.New(lb.Options{ConfigPath: site.path("postern.yaml"), Logger: site.logger()})
	if err != nil {
		return fmt.Errorf("starting the demo's load balancer: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return site.serveTargets(ctx) })
	group.Go(func() error { return balancer.Run(ctx) })
	group.Go(func() error {
		defer cancel()
		return site.show(ctx, options)
	})
	return group.Wait()
}

// show prints the commands, or runs them, once the load balancer answers.
func (s *site) show(ctx context.Context, options Options) error {
	if err := s.awaitReady(ctx); err != nil && ctx.Err() != nil && !options.Once {
		return nil // told to end before it was up, or another part failed
	} else if err != nil {
		return err
	}
	steps := s.steps()
	if options.Once {
		return s.runSteps(ctx, steps, options.Out)
	}
	fmt.Fprintf(options.Out, "Postern is up. Everything it uses is in %s. Try, from another terminal:\n\n", s.dir)
	for _, step := range steps {
		fmt.Fprintf(options.Out, "# %s\n%s\n\n", step.title, step.command())
	}
	fmt.Fprintf(options.Out, "Metrics: curl http://%s/metrics    Logs: %s    Ctrl-C ends it.\n",
		s.admin, filepath.Join(s.dir, "logs"))
	<-ctx.Done()
	return nil
}

func folder(dir string) (path string, remove func(), err error) {
	if dir != "" {
		dir, err = filepath.Abs(dir)
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "postern-demo-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// logger writes the load balancer's own log beside its other logs, so that the
// terminal shows the commands.
func (s *site) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.log, nil))
}
