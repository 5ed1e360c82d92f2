package trust_test

import (
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func TestParseChain(t *testing.T) {
	client := pki.NewRoot("root").Intermediate("sub").Client("c")
	plain := string(client.ChainPEM())
	bad := "-----BEGIN CERTIFICATE-----\nMAMBAf8=\n-----END CERTIFICATE-----\n"
	for _, tt := range []struct {
		name, data string
		certs      int
		index      int // of the certificate that does not parse
		err        string
	}{
		{"chain", plain, 2, 0, ""},
		{"text, blank lines and the key around", "subject=c\n\n" + string(client.KeyPEM()) + "\n# x-y\n" + plain, 2, 0, ""},
		{"damaged leaf", bad + plain, 0, 0, ""},
		{"damaged intermediate", string(client.PEM()) + bad, 0, 1, ""},
		{"nothing", "", 0, 0, "no PEM certificate"},
		{"key only", string(client.KeyPEM()), 0, 0, "no PEM certificate"},
		{"DER", string(client.Cert.Raw), 0, 0, "-inform DER"},
		{"too large", strings.Repeat("x", trust.MaxBundleBytes+1), 0, 0, "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain, verdict, err := trust.ParseChain([]byte(tt.data))
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) || verdict != nil || chain != nil {
					t.Errorf("error %v, verdict %v", err, verdict)
				}
			case tt.certs > 0:
				if err != nil || verdict != nil || len(chain) != tt.certs || !chain[0].Equal(client.Cert) {
					t.Errorf("%d certificates, verdict %v, error %v", len(chain), verdict, err)
				}
			default:
				if err != nil || chain != nil || verdict == nil {
					t.Fatalf("chain %v, verdict %v, error %v", chain, verdict, err)
				}
				checkVerdict(t, verdict, trust.ClientCertInvalid, tt.index)
			}
		})
	}
}

func TestReasonsHaveText(t *testing.T) {
	seen := make(map[trust.Reason]bool)
	for _, r := range trust.Reasons() {
		if r.Text() == "" || seen[r] {
			t.Errorf("reason %q has text %q", r, r.Text())
		}
		seen[r] = true
	}
	if len(seen) != 13 || trust.Reason("ClientCertRevoked").Text() != "" || trust.Reason("").Text() != "" {
		t.Errorf("%d reasons", len(seen))
	}
	checkVerdict(t, trust.RefuseMissing(), trust.UnmappedConnectionError, -1)
}

func TestExpiries(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	got := store(t, root.Cert, sub.Cert).Snapshot().Expiries()
	if len(got) != 2 || got[1].Subject != "CN=sub,O=Postern" || !got[1].NotAfter.Equal(sub.Cert.NotAfter) {
		t.Errorf("got %+v", got)
	}
}
