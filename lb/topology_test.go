package lb_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/lb"
)

// fixed is a listener entry that answers with a text.
func fixed(name, address, text string) string {
	return fmt.Sprintf("  - {name: %s, address: '%s', protocol: HTTP, default_actions: [{fixed_response: {status_code: 200, content_type: text/plain, message_body: %q}}]}\n", name, address, text)
}

// fresh returns a client that never uses a connection twice.
func fresh() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
}

func TestListenersComeAndGo(t *testing.T) {
	s, a, b := newSite(t), freeAddress(t), freeAddress(t)
	s.configure("listeners:\n" + fixed("one", a, "one"))
	r := s.start()
	wantGet(t, fresh(), "http://"+a, 200, "one")
	wantGet(t, fresh(), "http://"+b, 0, "")

	s.configure("listeners:\n" + fixed("one", a, "one") + fixed("two", b, "two"))
	r.reload(t)
	wantGet(t, fresh(), "http://"+b, 200, "two")

	// Each takes the other's name: the addresses are what sockets belong to.
	s.configure("listeners:\n" + fixed("two", a, "two") + fixed("one", b, "one"))
	r.reload(t)
	wantGet(t, fresh(), "http://"+a, 200, "two")
	wantGet(t, fresh(), "http://"+b, 200, "one")

	s.configure("listeners:\n" + fixed("one", b, "one"))
	r.reload(t)
	eventually(t, "the removed listener's socket closes", func() bool { return refuses(a) })
	wantGet(t, fresh(), "http://"+b, 200, "one")
}

func refuses(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err != nil
}

// TestListenerMoves holds that a listener which moves keeps its metrics and that
// one which is renamed leaves none of the old name.
func TestListenerMoves(t *testing.T) {
	s, a, b := newSite(t), freeAddress(t), freeAddress(t)
	s.configure("listeners:\n" + fixed("one", a, "here"))
	r := s.start()
	wantGet(t, fresh(), "http://"+a, 200, "here")
	s.configure("listeners:\n" + fixed("one", b, "there"))
	r.reload(t)
	wantGet(t, fresh(), "http://"+b, 200, "there")
	want := `postern_http_fixed_response_count{listener="one"} 2`
	eventually(t, "the count goes on", func() bool { _, m := r.admin(t, "/metrics"); return strings.Contains(m, want) })
	s.configure("listeners:\n" + fixed("other", b, "there"))
	r.reload(t)
	if _, m := r.admin(t, "/metrics"); strings.Contains(m, `listener="one"`) || !strings.Contains(m, `listener="other"`) {
		t.Errorf("the metrics of the old name are still there:\n%s", m)
	}
}

// TestAddressReturnsWhileDraining removes a listener with a request in flight,
// brings it back in the next reload, and lets the old request finish.
func TestAddressReturnsWhileDraining(t *testing.T) {
	s, a, b := newSite(t), freeAddress(t), freeAddress(t)
	forwarding := "  - {name: slow, address: '" + a + "', protocol: HTTP, default_actions: [{forward: {target_groups: [{name: app}]}}]}\n"
	const group = "target_groups: [{name: app, targets: [{address: TARGET}]}]\n"
	s.configure("listeners:\n" + forwarding + fixed("other", b, "other") + group)
	r := s.start()
	status := make(chan int, 1)
	go func() { got, _ := get(fresh(), "http://"+a+"/slow"); status <- got }()
	eventually(t, "a request in flight", func() bool { return s.inFlight(t, r) })

	s.configure("listeners:\n" + fixed("other", b, "other") + group)
	r.reload(t)
	eventually(t, "the socket closes", func() bool { return refuses(a) })
	s.configure("listeners:\n" + fixed("again", a, "again") + fixed("other", b, "other") + group)
	r.reload(t)
	wantGet(t, fresh(), "http://"+a, 200, "again")
	close(s.hold)
	if got := <-status; got != 200 {
		t.Errorf("the request in flight got %d", got)
	}
}

func TestTargetGroupsChange(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	other.Config.Protocols = new(http.Protocols)
	other.Config.Protocols.SetHTTP1(true)
	other.Config.Protocols.SetUnencryptedHTTP2(true)
	other.Start()
	t.Cleanup(other.Close)
	to := func(extra string) string {
		return "listeners: [{name: front, address: '" + address + "', protocol: HTTPS, certificates: [{certificate: server.pem, private_key: server-key.pem}], default_actions: [{forward: {target_groups: [{name: app}]}}]}]\n" +
			"target_groups:\n  - {name: app, " + extra + "}\n"
	}
	url, second := "https://"+address, "targets: [{address: '"+other.Listener.Addr().String()+"'}]"
	client := s.client(nil)
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true // others get 464 from an HTTP2 group
	s.configure(to("targets: [{address: TARGET}]"))
	r := s.start()
	wantGet(t, client, url, 200, "")
	s.configure(to(second))
	r.reload(t)
	wantGet(t, client, url, 200, "HTTP/1.1")
	s.configure(to("protocol_version: HTTP2, " + second))
	r.reload(t)
	wantGet(t, client, url, 200, "HTTP/2.0")
	s.configure(strings.ReplaceAll(to(second), "name: app", "name: renamed"))
	r.reload(t)
	wantGet(t, client, url, 200, "HTTP/1.1")
	eventually(t, "the metrics of the old group go", func() bool {
		_, m := r.admin(t, "/metrics")
		return !strings.Contains(m, `target_group="app"`) && strings.Contains(m, `target_group="renamed"`)
	})
}

// TestRefusedPlanLeavesNoMetrics holds that a target group of a plan that was
// refused does not show up.
func TestRefusedPlanLeavesNoMetrics(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	s.edit("target_groups:\n", "target_groups:\n  - {name: never, targets: [{address: TARGET}]}\n")
	s.write("partners.crl", nil)
	wantFaults(t, r.Reload(t.Context()), []string{"partners.crl is empty"})
	if _, m := r.admin(t, "/metrics"); strings.Contains(m, `target_group="never"`) {
		t.Error("the metrics hold a target group that does not run")
	}
}

// TestModeTightens holds that connections from before a listener asked for client
// certificates do not outlive the change, however they were made.
func TestModeTightens(t *testing.T) {
	for _, before := range []string{
		"protocol: HTTP",
		"protocol: HTTPS\n    certificates: [{certificate: server.pem, private_key: server-key.pem}]",
		"protocol: HTTPS\n    certificates: [{certificate: server.pem, private_key: server-key.pem}]\n    mutual_authentication: {mode: passthrough}",
	} {
		t.Run(before, func(t *testing.T) {
			s, address := newSite(t), freeAddress(t)
			tight := verifying(address)
			i, j := strings.Index(tight, "protocol:"), strings.Index(tight, "\n    default_actions")
			s.configure(tight[:i] + before + tight[j:])
			r := s.start()
			c, err := net.Dial("tcp", address)
			check(t, err)
			defer c.Close()
			if strings.Contains(before, "HTTPS") {
				c = tls.Client(c, s.tlsConfig(nil))
			}
			check(t, c.SetDeadline(time.Now().Add(patience)))
			ask(t, c, 200)
			s.configure(tight)
			r.reload(t)
			idleConn{c}.wantClosed(t)
		})
	}
}

func TestMisdirectedRequests(t *testing.T) {
	s, a, b, c := newSite(t), freeAddress(t), freeAddress(t), freeAddress(t)
	s.certify("server", "localhost", "shared.example")
	s.certify("other", "localhost", "other.example")
	entry := func(name, address, cert, mtls string) string {
		return fmt.Sprintf("  - {name: %s, address: '%s', protocol: HTTPS, certificates: [{certificate: %s.pem, private_key: %s-key.pem}], "+
			"mutual_authentication: {%s}, default_actions: [{fixed_response: {status_code: 200}}]}\n", name, address, cert, cert, mtls)
	}
	s.configure("listeners:\n" + entry("strict", a, "server", "mode: verify, trust_store: partners") +
		entry("open", b, "server", "mode: 'off'") + entry("elsewhere", c, "other", "mode: passthrough") + parts)
	s.start()
	for _, test := range []struct {
		address, host string
		want          int
	}{
		{a, "localhost", 200}, {a, "shared.example", 200}, {b, "shared.example", 200}, // one certificate, two policies
		{a, "other.example", 421}, {b, "OTHER.example.:443", 421}, {c, "shared.example", 421}, {c, "other.example", 200},
		{a, "nobody.example", 200}, // no policy claims it
	} {
		req, err := http.NewRequest(http.MethodGet, "https://"+test.address, nil)
		check(t, err)
		req.Host = test.host
		resp, err := s.client(s.alice).Do(req)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s at %s: status %d, want %d", test.host, test.address, resp.StatusCode, test.want)
		}
	}
}

// TestNewThenNothing holds that a load balancer that never runs can be made again,
// which it could not if a socket or a metric were left over.
func TestNewThenNothing(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	balancer, err := lb.New(s.options())
	check(t, err)
	check(t, runEnded(t, balancer))
	s.start()
	wantGet(t, s.client(s.alice), "https://"+address+"/", 200, aliceSubject)
}
