// Command balancer runs a whole load balancer inside another program: the config
// file stays, everything around it is the program's own.
//
//	go run ./examples/embedding/balancer -config postern.yaml
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/postern-lb/postern/lb"
)

func main() {
	config := flag.String("config", "postern.yaml", "the config file")
	flag.Parse()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *config, logger); err != nil {
		logger.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. What the config says is checked, and its warnings
// are logged, before any socket is opened.
func run(ctx context.Context, config string, logger *slog.Logger) error {
	warnings, err := lb.Check(config)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		logger.Warn("a file of the config", "warning", w.String())
	}
	balancer, err := lb.New(lb.Options{ConfigPath: config, Logger: logger})
	if err != nil {
		return err
	}
	// Files that change are noticed by themselves. Reload is for a program that
	// wants to know the outcome, as here after a signal.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ended := make(chan error, 1)
	go func() { ended <- balancer.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-hangup:
			if err := balancer.Reload(ctx); err != nil && !errors.Is(err, context.Canceled) {
				logger.Error("reload refused, the running state stays", "error", err)
			}
		}
	}
}
