package targetgroup_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/targetgroup"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func update(t testing.TB, g *targetgroup.Group, cfg targetgroup.Config) {
	t.Helper()
	if err := g.Update(cfg); err != nil {
		t.Fatal(err)
	}
}

// without returns cfg with only the targets that keep their place in the list.
func without(cfg targetgroup.Config, delay time.Duration, keep ...int) targetgroup.Config {
	var targets []targetgroup.TargetConfig
	for _, i := range keep {
		targets = append(targets, cfg.Targets[i])
	}
	cfg.Targets, cfg.DeregistrationDelay = targets, &delay
	return cfg
}

// hold is a target that answers "begun" at once and the rest when told.
func hold(release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() == "ELB-HealthChecker/2.0" {
			return
		}
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, " done")
	})
}

func TestDrainingTargetFinishesItsRequests(t *testing.T) {
	release := make(chan struct{})
	cfg := config(serve(t, targetgroup.HTTP1, hold(release)))
	g := newGroup(t, cfg)
	run(t, g)
	res, err := g.RoundTrip(request("GET", 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	update(t, g, without(cfg, time.Minute))
	if h := g.Health()[0]; h.State != targetgroup.Draining || h.InFlight != 1 {
		t.Errorf("%+v, want draining with one request in flight", h)
	}
	_, _, err = get(g, 1)
	wantError(t, err, 503, targetgroup.ReasonNoTargets)
	close(release)
	if body, err := io.ReadAll(res.Body); string(body) != "begun done" || err != nil {
		t.Errorf("request in flight got %q %v, want all of it", body, err)
	}
	time.Sleep(20 * time.Millisecond)
	if states(g) != "draining" {
		t.Errorf("%q with nothing in flight, want draining for the whole delay", states(g))
	}
}

func TestDrainingTargetIsCutAfterTheDelay(t *testing.T) {
	for _, version := range []targetgroup.ProtocolVersion{targetgroup.HTTP1, targetgroup.HTTP2} {
		cfg := config(serve(t, version, hold(nil)))
		cfg.ProtocolVersion = version
		g := newGroup(t, cfg)
		run(t, g)
		res, err := g.RoundTrip(request("GET", 2, nil))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		update(t, g, without(cfg, 100*time.Millisecond))
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		wantError(t, err, 502, targetgroup.ReasonDeregistered)
		if took := time.Since(began); string(body) != "begun" || took < 100*time.Millisecond || took > 2*time.Second {
			t.Errorf("%s: got %q, cut after %v; want begun and 100 ms", version, body, took)
		}
		eventually(t, "the target is gone", isState(g, ""))
	}
}

func TestUpgradedConnectionIsCutAfterTheDelay(t *testing.T) {
	cfg := config(listen(t, switching))
	g := newGroup(t, cfg)
	run(t, g)
	conn := upgrade(t, g)
	defer conn.Close()
	update(t, g, without(cfg, 0))
	_, err := conn.Read(make([]byte, 1))
	wantError(t, err, 502, targetgroup.ReasonDeregistered)
}

func TestDrainingTargetIsRegisteredAgain(t *testing.T) {
	release := make(chan struct{})
	cfg := config(serve(t, targetgroup.HTTP1, hold(release)))
	g := newGroup(t, cfg)
	run(t, g)
	res, err := g.RoundTrip(request("GET", 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	update(t, g, without(cfg, 50*time.Millisecond))
	update(t, g, cfg)
	time.Sleep(100 * time.Millisecond)
	close(release)
	if body, err := io.ReadAll(res.Body); string(body) != "begun done" || err != nil {
		t.Errorf("request in flight got %q %v, want all of it", body, err)
	}
	eventually(t, "the target is healthy again", isState(g, "healthy"))
}

// TestUpdateKeepsWhatStays counts connections: the target that stays keeps its
// own, its health and its counts while others come and go.
func TestUpdateKeepsWhatStays(t *testing.T) {
	var conns atomic.Int32
	stays := listen(t, func(conn net.Conn) {
		counted := false
		http.Serve(&oneConn{conn: conn}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "ELB-HealthChecker/2.0" && !counted {
				counted = true
				conns.Add(1)
			}
		}))
	})
	leaves := serve(t, targetgroup.HTTP1, answer(""))
	cfg := config(stays, leaves)
	g := newGroup(t, cfg)
	run(t, g)
	eventually(t, "both are healthy", isState(g, "healthy healthy"))
	for range 4 {
		if _, _, err := get(g, 1); err != nil {
			t.Fatal(err)
		}
	}
	before := g.Health()[0]
	update(t, g, without(cfg, 0, 0))
	eventually(t, "one is gone", isState(g, "healthy"))
	cfg.Targets[1].Address = serve(t, targetgroup.HTTP1, answer(""))
	cfg.HealthCheck.Path = "/other"
	update(t, g, cfg)
	if s := states(g); s != "healthy initial" {
		t.Errorf("states %q after the update, want healthy initial", s)
	}
	for range 4 {
		if _, _, err := get(g, 1); err != nil {
			t.Fatal(err)
		}
	}
	after := g.Health()[0]
	if after.Requests <= before.Requests || after.Since != before.Since {
		t.Errorf("%+v came of %+v, want the counts to go on", after, before)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the target that stays, want 1", n)
	}
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn net.Conn
	once sync.Once
}

func (l *oneConn) Accept() (conn net.Conn, err error) {
	err = net.ErrClosed
	l.once.Do(func() { conn, err = l.conn, nil })
	return conn, err
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

func TestUpdateRefuses(t *testing.T) {
	cfg := config("127.0.0.1:1")
	g := newGroup(t, cfg)
	bad := cfg
	bad.Name, bad.Protocol, bad.ProtocolVersion = "gadgets", targetgroup.HTTPS, targetgroup.HTTP2
	bad.HealthCheck.Interval = time.Hour
	bad.Targets = nil
	if faults := fault.All(g.Update(bad)); len(faults) != 4 {
		t.Errorf("faults %v, want name, protocol, protocol_version and health_check.interval", faults)
	}
	if len(g.Health()) != 1 {
		t.Error("a refused update took the target away")
	}
	g.Close()
	g.Close()
	if g.Update(cfg) == nil {
		t.Error("a closed group took an update")
	}
}

func TestRunIsForOnce(t *testing.T) {
	g := newGroup(t, config())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Errorf("Run: %v, want nil at the end of its context", err)
	}
	if g.Run(ctx) == nil {
		t.Error("a second Run began")
	}
}

// TestNoRequestIsLostInUpdates moves a group between targets under load: every
// request must be answered by a target that was registered when it began.
func TestNoRequestIsLostInUpdates(t *testing.T) {
	cfg := config(serve(t, targetgroup.HTTP1, answer("0")), serve(t, targetgroup.HTTP1, answer("1")))
	g := newGroup(t, cfg)
	run(t, g)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, _, err := get(g, 1); status != 200 || err != nil {
					t.Errorf("got %d %v", status, err)
					return
				}
			}
		})
	}
	for i := range 50 {
		update(t, g, without(cfg, time.Minute, i%2))
		time.Sleep(2 * time.Millisecond)
	}
	close(stop)
	clients.Wait()
}

// TestRemovedTargetGetsNothingNew asks after each update: the answer must not
// come from the target that is draining.
func TestRemovedTargetGetsNothingNew(t *testing.T) {
	cfg := config(serve(t, targetgroup.HTTP1, answer("0")), serve(t, targetgroup.HTTP1, answer("1")))
	g := newGroup(t, cfg)
	for i := range 100 {
		keep := i % 2
		update(t, g, without(cfg, time.Minute, keep))
		if _, body, err := get(g, 1); body != string(rune('0'+keep)) || err != nil {
			t.Fatalf("update %d: got %q %v, want %d", i, body, err, keep)
		}
	}
}

// TestUpdateChangesTheIdleTimeout has a request that began under the old timeout
// and keeps it, and one that begins under the new.
func TestUpdateChangesTheIdleTimeout(t *testing.T) {
	release := make(chan struct{})
	cfg := config(serve(t, targetgroup.HTTP1, hold(release)))
	g := newGroup(t, cfg)
	old, err := g.RoundTrip(request("GET", 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Body.Close()
	cfg.IdleTimeout = 50 * time.Millisecond
	update(t, g, cfg)
	_, _, err = get(g, 1)
	wantError(t, err, 504, targetgroup.ReasonResponseTimeout)
	close(release)
	if body, err := io.ReadAll(old.Body); string(body) != "begun done" || err != nil {
		t.Errorf("request in flight got %q %v, want all of it", body, err)
	}
}

func TestStateChangesAreLogged(t *testing.T) {
	var text strings.Builder
	hook := targetgroup.LogStateChanges(slog.New(slog.NewTextHandler(&text, nil)))
	hook(targetgroup.TargetHealth{Group: "widgets", Target: "::1", Port: 80, State: targetgroup.Unhealthy, Reason: targetgroup.Timeout})
	hook(targetgroup.TargetHealth{Group: "widgets", Target: "::1", Port: 80, State: targetgroup.Healthy})
	for _, want := range []string{"level=WARN", "target=[::1]:80 state=unhealthy reason=Target.Timeout", "level=INFO"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, &text)
		}
	}
}
