package config_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-lb/postern/lb/config"
)

const verifying = `trust_stores: [{name: b, ca_certificates_bundle: b.pem}]
listeners:
  - name: a
    address: 127.0.0.1:443
    protocol: HTTPS
    certificates: [{certificate: a.pem, private_key: a.key}]
    default_actions: [{fixed_response: {status_code: 200}}]
    mutual_authentication:
      mode: verify
      trust_store: b
      identity_filters:
`

// One value may stand without brackets, on its own line or not.
func TestSingleValues(t *testing.T) {
	file, err := config.Parse("f", []byte(verifying+`
        - subject_cn: acme
          san_dns: [a.example, b.example]
          effect: deny
        - sha256:
            - aa
            - bb
        - {issuer: "*"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.IdentityFilter{
		{Effect: config.FilterDeny, Match: config.CertificateMatch{SubjectCN: []string{"acme"}, SANDNS: []string{"a.example", "b.example"}}},
		{Effect: config.FilterAccept, Match: config.CertificateMatch{SHA256: []string{"aa", "bb"}}},
		{Effect: config.FilterAccept, Match: config.CertificateMatch{Issuer: []string{"*"}}},
	}
	if got := file.Listeners[0].MutualAuthentication.IdentityFilters; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// An allow list of as many pins as a listener may have fits into a file.
func TestManyPins(t *testing.T) {
	const pins = 50_000
	var b strings.Builder
	b.WriteString(verifying + "        - sha256:\n")
	for i := range pins {
		fmt.Fprintf(&b, "            - %q\n", fmt.Sprintf("%064x", i))
	}
	file, err := config.Parse("f", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(file.Listeners[0].MutualAuthentication.IdentityFilters[0].Match.SHA256); n != pins {
		t.Errorf("%d pins", n)
	}
}
