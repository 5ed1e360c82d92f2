package targetgroup_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/targetgroup"
)

// TestCheckBytes reads what ALB's health check looks like to a target, and that
// the connection is used once.
func TestCheckBytes(t *testing.T) {
	requests := make(chan string, 8)
	address := listen(t, func(conn net.Conn) {
		buffer := make([]byte, 4096)
		n, _ := conn.Read(buffer)
		write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		rest, _ := io.ReadAll(conn) // ends when the checker closes
		requests <- string(buffer[:n]) + string(rest)
	})
	cfg := config(address)
	cfg.HealthCheck.Path = "/healthz?full=1"
	run(t, newGroup(t, cfg))
	want := "GET /healthz?full=1 HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n"
	for range 2 {
		select {
		case got := <-requests:
			if got != want {
				t.Errorf("check was\n%q, want\n%q", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no check, or its connection stays open")
		}
	}
}

// TestCheckResults has targets of every kind, and what the group says of them.
func TestCheckResults(t *testing.T) {
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
	}
	for _, tt := range []struct {
		name, address, matcher string
		want                   string // state, reason and description
	}{
		{"200", serve(t, targetgroup.HTTP1, answer("ok")), "", "healthy//"},
		{"large body", serve(t, targetgroup.HTTP1, answer(strings.Repeat("x", 1<<20))), "", "healthy//"},
		{"204 in a range", serve(t, targetgroup.HTTP1, status(204)), "200-299", "healthy//"},
		{"503", serve(t, targetgroup.HTTP1, status(503)), "", "unhealthy/Target.ResponseCodeMismatch/Health checks failed with these codes: [503]"},
		{"redirect is not followed", serve(t, targetgroup.HTTP1, redirect), "", "unhealthy/Target.ResponseCodeMismatch/Health checks failed with these codes: [302]"},
		{"no answer", listen(t, silent), "", "unhealthy/Target.Timeout/Request timed out"},
		{"refused", refusing(t), "", "unhealthy/Target.FailedHealthChecks/Health checks failed"},
		{"reset", listen(t, afterRequest(resetting)), "", "unhealthy/Target.FailedHealthChecks/Health checks failed"},
		{"not HTTP", listen(t, responding("220 mail\r\n")), "", "unhealthy/Target.FailedHealthChecks/Health checks failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(tt.address)
			cfg.HealthCheck.Matcher = tt.matcher
			g := newGroup(t, cfg)
			run(t, g)
			eventually(t, "target is checked", func() bool { return states(g) != "initial" })
			h := g.Health()[0]
			if got := string(h.State) + "/" + string(h.Reason) + "/" + h.Description; got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestCheckOverTLS has a target whose certificate nobody should believe, checked
// on another port than its traffic.
func TestCheckOverTLS(t *testing.T) {
	for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2} {
		_, port, err := net.SplitHostPort(serveTLS(t, version, answer("ok")))
		if err != nil {
			t.Fatal(err)
		}
		cfg := config(refusing(t))
		cfg.ProtocolVersion = version
		cfg.HealthCheck.Protocol, cfg.HealthCheck.Port = targetgroup.HTTPS, port
		g := newGroup(t, cfg)
		run(t, g)
		eventually(t, "target is healthy", isState(g, "healthy"))
		if got := g.Health()[0].HealthCheckPort; got != port {
			t.Errorf("health check port %s, want %s", got, port)
		}
	}
}

func TestTLS11TargetIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(answer(""))
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{pki.NewRoot("R").Server("127.0.0.1").TLS()},
		MinVersion:   tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	}
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := config(s.Listener.Addr().String())
	cfg.Protocol = targetgroup.HTTPS
	_, _, err := get(newGroup(t, cfg), 1)
	wantError(t, err, 502, targetgroup.ReasonTLSFailed)
}

// TestChecksKeepTheirInterval has a target that answers slowly: checks begin one
// interval apart all the same.
func TestChecksKeepTheirInterval(t *testing.T) {
	var mu sync.Mutex
	var times []time.Time
	g := newGroup(t, config(serve(t, targetgroup.HTTP1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		times = append(times, time.Now())
		mu.Unlock()
		time.Sleep(80 * time.Millisecond)
	}))))
	stop := run(t, g)
	eventually(t, "six checks", func() bool { mu.Lock(); defer mu.Unlock(); return len(times) >= 6 })
	stop()
	mean := times[5].Sub(times[0]) / 5
	if mean < 180*time.Millisecond || mean > 250*time.Millisecond { // 280 if answers were added
		t.Errorf("checks are %v apart, want 200 ms", mean)
	}
}

func TestStateChangesAreReported(t *testing.T) {
	var failing atomic.Bool
	target := serve(t, targetgroup.HTTP1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failing.Load() {
			w.WriteHeader(500)
		}
	}))
	seen := make(chan targetgroup.TargetHealth, 16)
	cfg := config(target)
	cfg.OnStateChange = func(h targetgroup.TargetHealth) { seen <- h }
	g := newGroup(t, cfg)
	run(t, g)
	expect := func(state targetgroup.State, reason targetgroup.Reason) {
		t.Helper()
		select {
		case h := <-seen:
			if h.State != state || h.Reason != reason || h.Group != "widgets" || h.Target != "127.0.0.1" || h.Port == 0 {
				t.Errorf("%+v, want %s %s", h, state, reason)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s was not reported", state)
		}
	}
	expect(targetgroup.Initial, targetgroup.RegistrationInProgress)
	expect(targetgroup.Healthy, "")
	failing.Store(true)
	expect(targetgroup.Unhealthy, targetgroup.ResponseCodeMismatch)
	failing.Store(false)
	expect(targetgroup.Healthy, "")
	cfg.Targets, cfg.DeregistrationDelay = nil, new(50*time.Millisecond)
	if err := g.Update(cfg); err != nil {
		t.Fatal(err)
	}
	expect(targetgroup.Draining, targetgroup.DeregistrationInProgress)
	expect(targetgroup.Unused, targetgroup.NotRegistered)
}

func TestChecksSwitchedOff(t *testing.T) {
	var checks atomic.Int32
	address := serve(t, targetgroup.HTTP1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() == "ELB-HealthChecker/2.0" {
			checks.Add(1)
		}
	}))
	cfg := config(address)
	cfg.HealthCheck.Enabled = new(false)
	g := newGroup(t, cfg)
	run(t, g)
	if status, _, err := get(g, 1); states(g) != "unavailable" || status != 200 || err != nil {
		t.Errorf("%s, request got %d %v; want unavailable and 200", states(g), status, err)
	}
	cfg.NotInUse = true
	if err := g.Update(cfg); err != nil || states(g) != "unused" {
		t.Errorf("%s %v, want unused", states(g), err)
	}
	if status, _, err := get(g, 1); status != 200 || err != nil {
		t.Errorf("a late request got %d %v, want 200", status, err)
	}
	time.Sleep(100 * time.Millisecond)
	if n := checks.Load(); n != 0 {
		t.Errorf("%d checks, want none", n)
	}
	cfg.NotInUse, cfg.HealthCheck.Enabled = false, nil
	if err := g.Update(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "checked after all", isState(g, "healthy"))
}
