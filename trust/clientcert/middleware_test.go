package clientcert_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
	"github.com/postern-lb/postern/trust/clientcert"
)

func storeOf(t testing.TB, ca *pki.Entity) *trust.Store {
	t.Helper()
	bundle, err := trust.ParseBundle(ca.PEM(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := trust.NewStore("partners", trust.Options{})
	s.Publish(bundle, nil, "1")
	return s
}

// guarded runs a server behind the middleware and returns what asks it.
func guarded(t *testing.T, c clientcert.Config) func(header ...string) (int, string) {
	t.Helper()
	guard, err := clientcert.NewMiddleware(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := clientcert.From(r.Context()); ok {
			io.WriteString(w, v.Identity.Subject)
			return
		}
		io.WriteString(w, "nobody")
	})))
	t.Cleanup(server.Close)
	return func(values ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Amzn-Mtls-Clientcert"] = values
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
}

func TestMiddleware(t *testing.T) {
	root := pki.NewRoot("root")
	good := trust.EncodeChain(root.Intermediate("sub").Client("acme").Chain())
	stranger := trust.EncodeChain(pki.NewRoot("root").Client("acme").Chain())
	expired := trust.EncodeChain(root.Client("acme", pki.Expired).Chain())
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	const refused = "client certificate refused"
	for name, tt := range map[string]struct {
		change func(*clientcert.Config)
		values []string
		status int
		body   string
	}{
		"accepted":             {nil, []string{good}, 200, "CN=acme,O=Postern"},
		"stranger":             {nil, []string{stranger}, 403, refused},
		"expired":              {nil, []string{expired}, 403, refused},
		"expired, ignored":     {func(c *clientcert.Config) { c.Policy = &trust.Policy{IgnoreExpiry: true} }, []string{expired}, 200, "CN=acme,O=Postern"},
		"absent":               {nil, nil, 403, refused},
		"absent, optional":     {func(c *clientcert.Config) { c.Optional = true }, nil, 200, "nobody"},
		"stranger, optional":   {func(c *clientcert.Config) { c.Optional = true }, []string{stranger}, 403, refused},
		"unreadable, optional": {func(c *clientcert.Config) { c.Optional = true }, []string{"rubbish"}, 403, refused},
		"twice, optional":      {func(c *clientcert.Config) { c.Optional = true }, []string{good, good}, 403, refused},
		"from elsewhere":       {func(c *clientcert.Config) { c.TrustedProxies[0] = netip.MustParsePrefix("10.0.0.0/8") }, []string{good}, 403, refused},
		"from elsewhere, nothing": {func(c *clientcert.Config) {
			c.Optional = true
			c.TrustedProxies[0] = netip.MustParsePrefix("10.0.0.0/8")
		}, nil, 403, refused},
		"from anywhere": {func(c *clientcert.Config) { c.TrustedProxies, c.AnyProxy = nil, true }, []string{good}, 200, "CN=acme,O=Postern"},
		"later":         {func(c *clientcert.Config) { c.Now = func() time.Time { return time.Now().AddDate(50, 0, 0) } }, []string{good}, 403, refused},
		"another answer": {func(c *clientcert.Config) {
			c.Refuse = func(w http.ResponseWriter, _ *http.Request, v *trust.Verdict) { http.Error(w, string(v.Reason), 401) }
		}, []string{stranger}, 401, "ClientCertUntrusted"},
	} {
		t.Run(name, func(t *testing.T) {
			c := clientcert.Config{Source: clientcert.ALB(), Store: storeOf(t, root), TrustedProxies: append([]netip.Prefix(nil), loopback...)}
			if tt.change != nil {
				tt.change(&c)
			}
			if status, body := guarded(t, c)(tt.values...); status != tt.status || body != tt.body {
				t.Errorf("answered %d %q, want %d %q", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestIncompleteConfig(t *testing.T) {
	store := storeOf(t, pki.NewRoot("root"))
	for want, c := range map[string]clientcert.Config{
		"no Source":         {Store: store, AnyProxy: true},
		"no Store":          {Source: clientcert.ALB(), AnyProxy: true},
		"no TrustedProxies": {Source: clientcert.ALB(), Store: store},
		"max_chain_depth":   {Source: clientcert.ALB(), Store: store, AnyProxy: true, Policy: &trust.Policy{MaxDepth: 99}},
	} {
		if _, err := clientcert.NewMiddleware(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
