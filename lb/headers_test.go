package lb_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-lb/postern/lb"
)

// TestForwardHeaders reads the headers that the config asks for at a target, over
// HTTP/1.1 and HTTP/2, and sends forgeries of them.
func TestForwardHeaders(t *testing.T) {
	s, address, other := newSite(t), freeAddress(t), freeAddress(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Values("X-Postern-Clientcert-Verdict"), len(r.Header.Values("Client-Cert")), r.Header.Values("X-Postern-Clientcert-Spiffe-Id"))
	}))
	defer target.Close()
	entry := func(name, address, cert, forward string) string {
		return fmt.Sprintf("  - {name: %s, address: '%s', protocol: HTTPS, certificates: [{certificate: %s.pem, private_key: %s-key.pem}], "+
			"mutual_authentication: {mode: verify, trust_store: partners%s}, default_actions: [{forward: {target_groups: [{name: app}]}}]}\n",
			name, address, cert, cert, forward)
	}
	s.certify("server", "localhost", "front.example")
	s.certify("other", "localhost", "other.example")
	s.configure(strings.ReplaceAll("listeners:\n"+entry("front", address, "server", ", forward_headers: [client_cert, verdict]")+
		entry("other", other, "other", "")+parts, "TARGET", target.Listener.Addr().String()))
	s.start()
	for _, http2 := range []bool{false, true} {
		client := s.client(s.alice)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		// One client policy, whatever the targets are told: no host is foreign.
		for at, want := range map[string]string{address: "[accepted] 1 []", other: "[] 0 []"} {
			for _, host := range []string{"front.example", "other.example"} {
				req, err := http.NewRequest(http.MethodGet, "https://"+at, nil)
				check(t, err)
				req.Host = host
				for _, name := range []string{"Client-Cert", "client_cert", "X-Postern-Clientcert-Verdict", "X-Postern-Clientcert-Spiffe-Id"} {
					req.Header.Set(name, "forged")
				}
				resp, err := client.Do(req)
				check(t, err)
				body := make([]byte, 100)
				n, _ := resp.Body.Read(body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(body[:n]) != want || (resp.ProtoMajor == 2) != http2 {
					t.Errorf("%s at %s: %s %s: the target saw %s, want %s", host, at, resp.Proto, resp.Status, body[:n], want)
				}
			}
		}
	}
}

func TestForwardHeadersNeedVerification(t *testing.T) {
	s := newSite(t)
	s.configure(strings.Replace(verifying(freeAddress(t)), "mode: verify, trust_store: partners", "mode: passthrough, forward_headers: [verdict, xfcc]", 1))
	_, err := lb.New(s.options())
	if err == nil || !strings.Contains(err.Error(), "listeners[0].mutual_authentication.forward_headers[1]") || strings.Contains(err.Error(), "forward_headers[0]") {
		t.Errorf("got %v", err)
	}
}
