package lb

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminTimeout bounds every phase of a request to the admin side.
const adminTimeout = 10 * time.Second

// An adminServer is the operators' side: health, readiness and metrics. It has a
// socket of its own and no listener can reach it.
type adminServer struct {
	ln     net.Listener
	server *http.Server
	logger *slog.Logger
}

// openAdmin binds the admin address of the running config.
func (b *LoadBalancer) openAdmin() (*adminServer, error) {
	cfg := b.state.Snapshot().Admin().Value
	ln, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: opening %s: %w", cfg.Address, err)
	}
	return &adminServer{
		ln: ln, logger: b.logger,
		server: &http.Server{
			Handler: b.adminHandler(), ReadHeaderTimeout: adminTimeout, ReadTimeout: adminTimeout,
			WriteTimeout: 3 * adminTimeout, IdleTimeout: 6 * adminTimeout, MaxHeaderBytes: 16 << 10,
			ErrorLog: slog.NewLogLogger(b.logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

func (a *adminServer) address() string { return a.ln.Addr().String() }

// run serves until ctx ends.
func (a *adminServer) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { a.server.Close() })
	defer stop()
	if err := a.server.Serve(a.ln); err != nil && ctx.Err() == nil {
		a.logger.Error("admin side ended", "address", a.address(), "error", err)
	}
}

func (b *LoadBalancer) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", b.serveReady)
	return mux
}

// serveReady answers 200 while connections are accepted, else 503, and says how
// the last reload went.
func (b *LoadBalancer) serveReady(w http.ResponseWriter, _ *http.Request) {
	status := http.StatusOK
	if !b.ready.Load() {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{
		"ready": status == http.StatusOK, "revision": b.applied.current(), "listeners": b.runtime.addresses(),
		"last_reload_error": b.lastReloadError(),
	})
}

// AdminAddress returns the admin address that the config names.
func (b *LoadBalancer) AdminAddress() string { return b.state.Snapshot().Admin().Value.Address }
