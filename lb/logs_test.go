package lb_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// logging is verifying with both logs.
func logging(address, connection, access string) string {
	return "logs:\n  connection: {path: '" + connection + "'}\n  access: {path: '" + access + "'}\n" + verifying(address)
}

// lines waits until a log has n lines that hold text.
func (s *site) lines(name, text string, n int) {
	s.t.Helper()
	eventually(s.t, name+" tells of "+text, func() bool {
		data, _ := os.ReadFile(s.path(name))
		return strings.Count(string(data), text) >= n
	})
	if data, _ := os.ReadFile(s.path(name)); strings.Count(string(data), text) > n {
		s.t.Errorf("%s: more than %d lines with %q:\n%s", name, n, text, data)
	}
}

func TestLogsFollowReloads(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(logging(address, "logs/connection.log", "logs/access.log"))
	r := s.start()
	alice := s.client(s.alice)
	get(alice, "https://"+address+"/first")
	s.lines("logs/connection.log", aliceSubject, 1)
	s.lines("logs/access.log", "/first", 1)

	// logrotate moves a file and sends SIGHUP.
	check(t, os.Rename(s.path("logs/access.log"), s.path("logs/access.log.1")))
	r.reload(t)
	get(alice, "https://"+address+"/second")
	s.lines("logs/access.log", "/second", 1)
	s.lines("logs/access.log.1", "/first", 1)

	// A request that began before its log was replaced is in the one of before.
	slow := make(chan int, 1)
	go func() { status, _ := get(s.client(s.alice), "https://"+address+"/slow"); slow <- status }()
	s.lines("logs/connection.log", aliceSubject, 2)
	eventually(t, "a third request at the target", func() bool {
		_, m := r.admin(t, "/metrics")
		return strings.Contains(m, `postern_target_group_request_count{target_group="app"} 3`)
	})
	s.configure(logging(address, "logs/connection.log", "elsewhere/access.log"))
	r.reload(t)
	get(alice, "https://"+address+"/third")
	s.lines("elsewhere/access.log", "/third", 1)
	close(s.hold)
	if status := <-slow; status != http.StatusOK {
		t.Errorf("the slow request got %d", status)
	}
	s.lines("logs/access.log", "/slow", 1)

	s.configure(verifying(address))
	r.reload(t)
	get(alice, "https://"+address+"/fourth")
	r.stop()
	check(t, r.wait(t))
	if data, _ := os.ReadFile(s.path("elsewhere/access.log")); strings.Contains(string(data), "/fourth") {
		t.Error("a log that is off was written to")
	}
}

// TestEveryAttemptIsLogged holds that refusals leave a line with their reason, and
// that both logs name the connection alike.
func TestEveryAttemptIsLogged(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.write("partners.crl", s.ca.CRL(1, s.bob))
	s.configure(logging(address, "connection.log", "access.log"))
	r := s.start()
	get(s.client(s.bob), "https://"+address+"/bob")
	s.lines("connection.log", "Failed:ClientCertCrlHit", 1)
	get(s.client(s.alice), "https://"+address+"/alice")
	s.lines("connection.log", "Success", 1)
	r.stop()
	check(t, r.wait(t))
	connections, err := os.ReadFile(s.path("connection.log"))
	check(t, err)
	requests, err := os.ReadFile(s.path("access.log"))
	check(t, err)
	admitted := strings.Split(strings.TrimSpace(string(connections)), "\n")[1]
	id := admitted[strings.Index(admitted, "TID_"):]
	id, _, _ = strings.Cut(id, " ")
	if !strings.Contains(string(requests), id) || strings.Contains(string(requests), "/bob") {
		t.Errorf("connections:\n%srequests:\n%s", connections, requests)
	}
}

// TestDrain ends the load balancer with a request in flight: it is answered, new
// connections are refused, the admin side tells, and Run returns nil.
func TestDrain(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	idle := watchClose(t, s, address, s.alice)
	slow := make(chan string, 1)
	go func() { _, body := get(s.client(s.bob), "https://"+address+"/slow"); slow <- body }()
	eventually(t, "the slow request is in flight", func() bool {
		_, m := r.admin(t, "/metrics")
		return strings.Contains(m, `postern_target_group_request_count{target_group="app"} 2`)
	})
	r.stop()
	idle.wantClosed(t)
	eventually(t, "the socket closes", func() bool { return refuses(address) })
	if status, _ := r.admin(t, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d during a drain, want 503", status)
	}
	if status, body := r.admin(t, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz answers %d %q", status, body)
	}
	select {
	case err := <-r.done:
		t.Fatalf("Run returned %v before the request was answered", err)
	default:
	}
	close(s.hold)
	if got := <-slow; got != bobSubject {
		t.Errorf("the request in flight got %q", got)
	}
	check(t, r.wait(t))
	if !refuses(r.AdminAddress()) {
		t.Error("the admin side is still open")
	}
}

// TestHealthChecksOutliveTheDrain holds that targets are checked for as long as a
// request may still have to choose among them.
func TestHealthChecksOutliveTheDrain(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	var checks atomic.Int64
	checked := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { checks.Add(1) }))
	defer checked.Close()
	s.configure(verifying(address))
	s.edit("targets: [{address: "+s.target.Listener.Addr().String()+"}]", "targets: [{address: TARGET}]\n"+
		"    health_check: {interval: 150ms, timeout: 100ms, port: "+strings.TrimPrefix(checked.URL, "http://127.0.0.1:")+"}")
	r := s.start()
	slow := make(chan string, 1)
	go func() { _, body := get(s.client(s.bob), "https://"+address+"/slow"); slow <- body }()
	eventually(t, "the request is in flight", func() bool { return s.inFlight(t, r) })
	r.stop()
	eventually(t, "the socket closes", func() bool { return refuses(address) })
	before := checks.Load()
	eventually(t, "checks during the drain", func() bool { return checks.Load() > before+2 })
	close(s.hold)
	if got := <-slow; got != bobSubject {
		t.Errorf("the request in flight got %q", got)
	}
	check(t, r.wait(t))
	after := checks.Load()
	time.Sleep(300 * time.Millisecond)
	if n := checks.Load(); n != after {
		t.Errorf("%d checks after Run had returned", n-after)
	}
}

func TestDrainTimesOut(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure("load_balancer: {drain_timeout: 1s}\n" + verifying(address))
	r := s.start()
	slow := make(chan int, 1)
	go func() { status, _ := get(s.client(s.bob), "https://"+address+"/slow"); slow <- status }()
	eventually(t, "the request is in flight", func() bool { return s.inFlight(t, r) })
	began := time.Now()
	r.stop()
	check(t, r.wait(t))
	if took := time.Since(began); took < time.Second {
		t.Errorf("the drain took %v, and the request might have ended within its second", took)
	}
	if got := <-slow; got == http.StatusOK {
		t.Error("a request that never ends was answered")
	}
}
