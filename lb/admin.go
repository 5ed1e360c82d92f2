package lb

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-lb/postern/lb/config"
)

// adminTimeout bounds every phase of a request to the admin side.
const adminTimeout = 10 * time.Second

// An adminServer is the operators' side: health, readiness and metrics. It has a
// socket of its own and no listener can reach it.
type adminServer struct {
	ln         net.Listener
	configured string // what the config said when it was opened
	server     *http.Server
	logger     *slog.Logger
}

// openAdmin binds the admin address, for as long as the load balancer lives: a
// reload does not move it.
func (b *LoadBalancer) openAdmin(cfg config.Admin) (*adminServer, error) {
	ln, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, busy(err)
	}
	return &adminServer{
		ln: ln, configured: cfg.Address, logger: b.logger,
		server: &http.Server{
			Handler: b.adminHandler(cfg), ReadHeaderTimeout: adminTimeout, ReadTimeout: adminTimeout,
			WriteTimeout: 3 * adminTimeout, IdleTimeout: 6 * adminTimeout, MaxHeaderBytes: 16 << 10,
			ErrorLog: slog.NewLogLogger(b.logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

// close ends the server, or releases its socket if it never ran.
func (a *adminServer) close() {
	a.server.Close()
	a.ln.Close()
}

// run serves until ctx ends.
func (a *adminServer) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { a.server.Close() })
	defer stop()
	if err := a.server.Serve(a.ln); err != nil && ctx.Err() == nil {
		a.logger.Error("admin side ended", "address", a.ln.Addr().String(), "error", err)
	}
}

func (b *LoadBalancer) adminHandler(cfg config.Admin) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{
		// One metric that cannot be collected must not hide the others.
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(b.logger.Handler(), slog.LevelError),
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", b.serveReady)
	mux.Handle("GET /refusals", byAddress(cfg, b.serveRefusals))
	mux.Handle("GET /refusals/{id}", byAddress(cfg, b.serveRefusal))
	mux.Handle("GET /trust-stores", byAddress(cfg, b.serveTrustStores))
	mux.Handle("GET /trust-stores/{name}", byAddress(cfg, b.serveTrustStore))
	if cfg.Profiling {
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	}
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
		"last_reload_error": b.lastReloadError(), "sources": b.sourceReports(),
	})
}

// AdminAddress returns the address that the admin side is bound to.
func (b *LoadBalancer) AdminAddress() string { return b.admin.ln.Addr().String() }
