package targetgroup_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/targetgroup"
)

// serve starts a target on a free port that speaks the version in clear, and
// returns its address.
func serve(t testing.TB, version targetgroup.ProtocolVersion, handler http.Handler) string {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", version, handler)
}

func serveOn(t testing.TB, address string, version targetgroup.ProtocolVersion, handler http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener.Close()
	s.Listener = listener
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(version == targetgroup.HTTP1)
	s.Config.Protocols.SetUnencryptedHTTP2(version != targetgroup.HTTP1)
	s.Start()
	t.Cleanup(s.Close)
	return listener.Addr().String()
}

// serveTLS starts a target with a certificate that nobody should believe:
// expired, for another name, and issued by a CA that the group does not know.
func serveTLS(t testing.TB, version targetgroup.ProtocolVersion, handler http.Handler) string {
	t.Helper()
	certificate := pki.NewRoot("Nobody").ServerWith([]string{"other.example"}, pki.Expired)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = tlsServerConfig(certificate)
	s.EnableHTTP2 = version != targetgroup.HTTP1
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// listen accepts connections on a free port and hands each to serve, which need
// not close it.
func listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			serving.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return listener.Addr().String()
}

// config is a group of the given targets that is checked often enough to test.
func config(addresses ...string) targetgroup.Config {
	cfg := targetgroup.Config{
		Name: "widgets",
		HealthCheck: targetgroup.HealthCheck{
			Interval: 200 * time.Millisecond, Timeout: 100 * time.Millisecond,
			HealthyThreshold: 2, UnhealthyThreshold: 2,
		},
	}
	for _, a := range addresses {
		cfg.Targets = append(cfg.Targets, targetgroup.TargetConfig{Address: a})
	}
	return cfg
}

func newGroup(t testing.TB, cfg targetgroup.Config) *targetgroup.Group {
	t.Helper()
	g, err := targetgroup.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// run runs g until the test ends, and fails it if Run does.
func run(t testing.TB, g *targetgroup.Group) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// get sends a request of the given version of HTTP and returns status and body.
func get(g http.RoundTripper, major int) (int, string, error) {
	req := request(http.MethodGet, major, nil)
	res, err := g.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func request(method string, major int, body io.Reader) *http.Request {
	req := httptest.NewRequest(method, "http://widgets.example/a/b?c=d", body)
	req.ProtoMajor, req.ProtoMinor = major, 0
	return req
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

// states joins the states of a group's targets.
func states(g *targetgroup.Group) string {
	var all []string
	for _, h := range g.Health() {
		all = append(all, string(h.State))
	}
	return strings.Join(all, " ")
}

func isState(g *targetgroup.Group, want string) func() bool {
	return func() bool { return states(g) == want }
}

// wantError checks status and reason of an error of RoundTrip or of a body.
func wantError(t testing.TB, err error, status int, reason string) {
	t.Helper()
	e, ok := errors.AsType[*targetgroup.Error](err)
	if !ok {
		t.Fatalf("error %v, want %d %s", err, status, reason)
	}
	if e.Status != status || e.Reason != reason {
		t.Errorf("error %d %s (%v), want %d %s", e.Status, e.Reason, e.Err, status, reason)
	}
}

// answer is a target that says who it is.
func answer(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
}
