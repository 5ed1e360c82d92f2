package clientcert_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
	"github.com/postern-lb/postern/trust/clientcert"
)

// chains are real ones, among them some whose base64 ends in every way that it can, with
// pluses and slashes in it.
func chains(t testing.TB) [][]*x509.Certificate {
	t.Helper()
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	out := [][]*x509.Certificate{sub.Client("c", pki.RSA(2048)).Chain(), append(sub.Client("c").Chain(), root.Cert)}
	endings := make(map[string]bool)
	for n := 0; len(endings) < 4 && n < 5000; n++ {
		c := sub.Client(strings.Repeat("n", n%50+1))
		text := base64.StdEncoding.EncodeToString(c.Cert.Raw)
		ending := strings.TrimLeft(text[len(text)-2:], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/")
		if strings.Contains(text, "+") && strings.Contains(text, "/") && !endings[ending] && ending != "++" {
			endings[ending] = true
			out = append(out, c.Chain())
		}
	}
	if len(endings) < 4 { // "", "=", "==" and "+"
		t.Fatalf("only the endings %v were found", endings)
	}
	return out
}

// formDecoded is what a form decoder makes of a value: a plus becomes a blank.
func formDecoded(s string) string { return unescaped(strings.ReplaceAll(s, "+", " ")) }

func unescaped(s string) string {
	out, err := url.PathUnescape(s)
	if err != nil {
		panic(err)
	}
	return out
}

// accidents are what happens to ALB's value on the way to a program.
var accidents = map[string]func(string) string{
	"as it is":                     func(s string) string { return s },
	"decoded once":                 unescaped,
	"decoded as a form":            formDecoded,
	"decoded as a form, one line":  func(s string) string { return strings.ReplaceAll(formDecoded(s), "\n", " ") },
	"encoded again":                url.QueryEscape,
	"encoded again as a path":      url.PathEscape,
	"encoded twice again":          func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"decoded and encoded":          func(s string) string { return url.QueryEscape(unescaped(s)) },
	"lower-case escapes":           func(s string) string { return strings.NewReplacer("%0A", "%0a").Replace(s) },
	"CR LF":                        func(s string) string { return strings.ReplaceAll(unescaped(s), "\n", "\r\n") },
	"CR LF, encoded":               func(s string) string { return strings.ReplaceAll(s, "%0A", "%0D%0A") },
	"folded as by nginx":           func(s string) string { return strings.ReplaceAll(strings.TrimSpace(unescaped(s)), "\n", "\n\t") },
	"line breaks as blanks":        func(s string) string { return strings.ReplaceAll(unescaped(s), "\n", " ") },
	"line breaks as tabs":          func(s string) string { return strings.ReplaceAll(unescaped(s), "\n", "\t") },
	"line breaks lost":             func(s string) string { return strings.ReplaceAll(unescaped(s), "\n", "") },
	"line breaks as text":          func(s string) string { return strings.ReplaceAll(unescaped(s), "\n", `\n`) },
	"line breaks as text, encoded": func(s string) string { return strings.ReplaceAll(s, "%0A", "%5Cn") },
	"slashes escaped by JSON": func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(unescaped(s), "\n", `\n`), "/", `\/`)
	},
	"quoted":       func(s string) string { return `"` + s + `"` },
	"comma behind": func(s string) string { return s + "," },
	"commas between": func(s string) string {
		return strings.ReplaceAll(unescaped(s), "-----\n-----", "-----,-----")
	},
	"blank of the boundary as a plus": func(s string) string { return strings.ReplaceAll(s, "%20", "+") },
	"without padding":                 func(s string) string { return strings.ReplaceAll(s, "=", "") },
	"bare base64, comma-joined":       bare(base64.StdEncoding),
	"bare base64 without padding":     bare(base64.RawStdEncoding),
	"bare base64 for URLs":            bare(base64.RawURLEncoding),
	"Traefik, escaped":                func(s string) string { return url.QueryEscape(bare(base64.StdEncoding)(s)) },
	"byte sequences of RFC 8941": func(s string) string {
		return ":" + strings.ReplaceAll(bare(base64.StdEncoding)(s), ",", ":, :") + ":"
	},
}

// bare writes the certificates without PEM's boundaries.
func bare(encoding *base64.Encoding) func(string) string {
	return func(s string) string {
		var parts []string
		for block := range strings.SplitSeq(unescaped(s), "-----END CERTIFICATE-----\n") {
			body := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "\n", "").Replace(block)
			if der, err := base64.StdEncoding.DecodeString(body); err == nil && len(der) > 0 {
				parts = append(parts, encoding.EncodeToString(der))
			}
		}
		return strings.Join(parts, ",")
	}
}

func TestAccidents(t *testing.T) {
	for name, happen := range accidents {
		t.Run(name, func(t *testing.T) {
			for _, chain := range chains(t) {
				for n := 1; n <= len(chain); n++ {
					value := happen(trust.EncodeChain(chain[:n]))
					got, err := clientcert.ALB().Chain(http.Header{"X-Amzn-Mtls-Clientcert": {value}})
					if err != nil || !slices.EqualFunc(got, chain[:n], (*x509.Certificate).Equal) {
						t.Fatalf("%d certificates of %d, %v, from %.300q", len(got), n, err, value)
					}
				}
			}
		})
	}
}

func TestOtherHeaders(t *testing.T) {
	chain := append(pki.NewRoot("root").Intermediate("sub").Client("c", pki.URI("spiffe://a.example/c")).Chain(), pki.NewRoot("other").Cert)
	one := func(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
	pem := func(certs ...*x509.Certificate) string { return url.QueryEscape(string(pki.PEM(certs...))) }
	for name, tt := range map[string]struct {
		source clientcert.Source
		header http.Header
		want   int
	}{
		"RFC 9440":              {clientcert.RFC9440(), http.Header{"Client-Cert": {one(chain[0])}}, 1},
		"RFC 9440 with a chain": {clientcert.RFC9440(), http.Header{"Client-Cert": {one(chain[0])}, "Client-Cert-Chain": {one(chain[1]) + ", " + one(chain[2])}}, 3},
		"ALB's leaf":            {clientcert.ALBLeaf(), http.Header{"X-Amzn-Mtls-Clientcert-Leaf": {trust.EncodeChain(chain[:1])}}, 1},
		"nginx":                 {clientcert.Header("x-client-cert"), http.Header{"X-Client-Cert": {url.PathEscape(string(pki.PEM(chain[0])))}}, 1},
		"HAProxy":               {clientcert.Header("X-SSL-Client-DER"), http.Header{"X-Ssl-Client-Der": {base64.StdEncoding.EncodeToString(chain[0].Raw)}}, 1},
		"XFCC with Cert": {clientcert.XFCC(), http.Header{"X-Forwarded-Client-Cert": {
			`By=spiffe://a.example/me;Hash=00;Cert="` + pem(chain[0]) + `";Subject="CN=c\",O=\\;,";URI=spiffe://a.example/c`}}, 1},
		"XFCC with Chain": {clientcert.XFCC(), http.Header{"X-Forwarded-Client-Cert": {
			`Hash=00;Cert="` + pem(chain[0]) + `";Chain="` + pem(chain...) + `"`}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.source.Chain(tt.header)
			if err != nil || !slices.EqualFunc(got, chain[:tt.want], (*x509.Certificate).Equal) {
				t.Fatalf("%d certificates, want %d: %v", len(got), tt.want, err)
			}
		})
	}
}

func TestRefusedHeaders(t *testing.T) {
	root := pki.NewRoot("root")
	good := trust.EncodeChain(root.Client("c").Chain())
	many := make([]*x509.Certificate, clientcert.MaxCertificates+1)
	for i := range many {
		many[i] = root.Cert
	}
	huge := pki.Template(func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{strings.Repeat("x", trust.MaxCertificateBytes)}
	})
	xfcc := `Cert="` + good + `"`
	for name, tt := range map[string]struct {
		source clientcert.Source
		values []string
		want   string
	}{
		"absent":                 {clientcert.ALB(), nil, "carries no client certificate"},
		"empty":                  {clientcert.ALB(), []string{""}, "carries no client certificate"},
		"twice":                  {clientcert.ALB(), []string{good, good}, "2 times"},
		"cut":                    {clientcert.ALB(), []string{good[:len(good)-60]}, "ends within"},
		"cut in its body":        {clientcert.ALB(), []string{strings.Replace(unescaped(good), "\n", "\n\x00", 1)}, "not base64"},
		"a line missing":         {clientcert.ALB(), []string{good[:100] + good[167:]}, "cut or changed"},
		"something behind":       {clientcert.ALB(), []string{good + "x"}, "beside its certificates"},
		"something between":      {clientcert.ALB(), []string{good + "x" + good}, "beside its certificates"},
		"a private key":          {clientcert.ALB(), []string{string(root.KeyPEM())}, "no certificate"},
		"no certificate":         {clientcert.ALB(), []string{" , "}, "holds no certificate"},
		"rubbish":                {clientcert.ALB(), []string{"rubbish!"}, "not base64"},
		"other DER":              {clientcert.ALB(), []string{"MAA="}, "cut or changed"},
		"too many":               {clientcert.ALB(), []string{trust.EncodeChain(many)}, "more than 10"},
		"too long":               {clientcert.ALB(), []string{strings.Repeat("A", clientcert.MaxHeaderBytes+1)}, "at most"},
		"too large":              {clientcert.ALB(), []string{trust.EncodeChain(root.Client("c", huge).Chain())}, "at most"},
		"encoded without end":    {clientcert.ALB(), []string{url.QueryEscape(url.QueryEscape(url.QueryEscape(url.QueryEscape(good))))}, "too often"},
		"two in Client-Cert":     {clientcert.RFC9440(), []string{trust.EncodeChain(many[:2])}, "it is one"},
		"several XFCC elements":  {clientcert.XFCC(), []string{xfcc + "," + xfcc}, "several elements"},
		"XFCC elements in a key": {clientcert.XFCC(), []string{xfcc + ";x,Hash=00"}, "several elements"},
		"XFCC with two Certs":    {clientcert.XFCC(), []string{xfcc + ";" + xfcc}, "says twice"},
		"XFCC without":           {clientcert.XFCC(), []string{"Hash=00"}, "neither Cert nor Chain"},
		"XFCC that is no list":   {clientcert.XFCC(), []string{"Hash"}, "KEY=VALUE"},
		"XFCC without its quote": {clientcert.XFCC(), []string{`Cert="` + good}, "does not end"},
		"XFCC behind a quote":    {clientcert.XFCC(), []string{xfcc + "x"}, "behind a quotation"},
		"no source":              {clientcert.Source{}, []string{good}, "not chosen"},
	} {
		t.Run(name, func(t *testing.T) {
			header := make(http.Header)
			for _, n := range []string{"X-Amzn-Mtls-Clientcert", "Client-Cert", "X-Forwarded-Client-Cert"} {
				if tt.values != nil {
					header[n] = tt.values
				}
			}
			got, err := tt.source.Chain(header)
			if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%d certificates and the error %v, want one that says %q", len(got), err, tt.want)
			}
			var typed *clientcert.Error
			if !errors.Is(err, clientcert.ErrAbsent) && !errors.As(err, &typed) {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

// FuzzHeader: whatever is read is whole certificates, as many as allowed, and reads again
// from our own encoding of them.
func FuzzHeader(f *testing.F) {
	root := pki.NewRoot("root")
	chain := append(root.Intermediate("sub").Client("c").Chain(), root.Cert)
	for _, happen := range accidents {
		f.Add(happen(trust.EncodeChain(chain)))
	}
	f.Add(`Hash=00;Cert="` + url.QueryEscape(string(pki.PEM(chain[0]))) + `";Subject="CN=c"`)
	f.Fuzz(func(t *testing.T, value string) {
		for name, source := range map[string]clientcert.Source{"X": clientcert.Header("X"), "X-Forwarded-Client-Cert": clientcert.XFCC()} {
			got, err := source.Chain(http.Header{name: {value}})
			if (err == nil) != (len(got) > 0) || len(got) > clientcert.MaxCertificates {
				t.Fatalf("%d certificates and the error %v", len(got), err)
			}
			if len(got) == 0 {
				continue
			}
			again, err := clientcert.ALB().Chain(http.Header{"X-Amzn-Mtls-Clientcert": {trust.EncodeChain(got)}})
			if err != nil || !slices.EqualFunc(got, again, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }) {
				t.Fatalf("%d certificates, read again %d: %v", len(got), len(again), err)
			}
		}
	})
}
