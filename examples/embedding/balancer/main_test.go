package main

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/postern-lb/postern/examples/internal/story"
)

func TestRun(t *testing.T) {
	s := story.New(t)
	address := story.FreeAddress(t)
	config := s.Config("../../private-front-door/postern.yaml", map[string]string{"127.0.0.1:8443": address})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, config, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	status, body := 0, ""
	for end := time.Now().Add(20 * time.Second); status == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		status, body = s.Request("acme-1", "GET", "https://"+address+"/")
	}
	if status != 404 {
		t.Errorf("status %d, %q, want the config's 404", status, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestRunRefusesABadConfig(t *testing.T) {
	if err := run(t.Context(), t.TempDir()+"/absent.yaml", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a config that does not exist was accepted")
	}
}
