package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/lb/config"
)

type runCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The config file (YAML)."`
}

// Run serves until SIGTERM or SIGINT.
func (c *runCommand) Run(s *streams) error {
	floor := keepHeapFloor()
	defer runtime.KeepAlive(floor)
	logger := slog.New(slog.NewTextHandler(s.stderr, nil))
	// From the first moment on: an unexpected SIGHUP would end the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	balancer, err := lb.New(lb.Options{ConfigPath: c.Config, Logger: logger})
	if err != nil {
		return inputError(err)
	}
	ctx, end := context.WithCancel(s.ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer end()
	background.Go(func() { reloadOn(ctx, hangups, balancer, logger) })
	background.Go(func() { giveBackMemory(ctx) })
	return balancer.Run(s.ctx)
}

// reloadOn reloads at each signal until ctx ends.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, balancer *lb.LoadBalancer, logger *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if err := balancer.Reload(ctx); err != nil {
			logger.Error("reload refused, the running state stays", "why", "SIGHUP", "error", err)
			continue
		}
		logger.Info("reloaded", "why", "SIGHUP")
	}
}

// inputError marks the errors that are faults of a file.
func inputError(err error) error {
	if _, ok := errors.AsType[config.Errors](err); ok {
		return unusable{err}
	}
	return err
}

// version is what the Go toolchain knows of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	out := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			out += " " + setting.Value
		}
	}
	return out + " " + info.GoVersion
}
