package lb_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
)

func pinOf(who *pki.Entity) string {
	digest := sha256.Sum256(who.Cert.Raw)
	return hex.EncodeToString(digest[:])
}

// identifying is a config in which bob may reach /bob, certificates are optional, and
// whoever else is named in more gets what it says.
func identifying(s *site, address, filters string) string {
	return `listeners:
  - name: front
    address: ` + address + `
    protocol: HTTPS
    certificates: [{certificate: server.pem, private_key: server-key.pem}]
    mutual_authentication:
      mode: verify
      trust_store: partners
      optional: true
      identity_filters: [` + filters + `]
    rules:
      - priority: 1
        conditions:
          - path_pattern: {values: [/bob]}
          - client_certificate: {sha256: ` + pinOf(s.bob) + `}
        actions: [{fixed_response: {status_code: 200, message_body: for bob}}]
      - priority: 2
        conditions: [client_certificate: {verified: false}]
        actions: [{fixed_response: {status_code: 401, message_body: who}}]
    default_actions: [{forward: {target_groups: [{name: app}]}}]
` + parts
}

func TestIdentityFromTheConfig(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(identifying(s, address, ""))
	r := s.start()
	url := "https://" + address + "/bob"
	alice, bob, nobody := s.client(s.alice), s.client(s.bob), s.client(nil)
	wantGet(t, bob, url, 200, "for bob")
	wantGet(t, alice, url, 200, aliceSubject)
	wantGet(t, nobody, url, 401, "who")
	wantGet(t, s.client(pki.NewRoot("Stranger").Client("bob")), url, 0, "")
	idle := watchClose(t, s, address, s.alice)

	s.configure(identifying(s, address, "{effect: deny, subject_cn: [carol, al*]}"))
	r.reload(t)
	idle.wantClosed(t)
	wantGet(t, alice, url, 0, "")
	wantGet(t, bob, url, 200, "for bob")
	wantGet(t, nobody, url, 401, "who")
}

func TestIdentityFaultsHaveTheirPlace(t *testing.T) {
	s := newSite(t)
	s.configure(identifying(s, "127.0.0.1:0", `{serial: "0x1"}, {effect: deny}, {san_ip: [10.0.0.1, "10.0.0.*"]}`))
	s.edit("client_certificate: {verified: false}", "client_certificate: {verified: false, subject_o: Acme}")
	_, err := lb.New(s.options())
	for _, want := range []string{
		`postern.yaml:11:35: listeners[0].mutual_authentication.identity_filters[0].serial: "0x1" is no serial number`,
		`postern.yaml:11:35: listeners[0].mutual_authentication.identity_filters[0].serial: needs issuer beside it`,
		`listeners[0].mutual_authentication.identity_filters[1]: an identity filter needs at least one of`,
		`listeners[0].mutual_authentication.identity_filters[2].san_ip[1]: "10.0.0.*" is no IP address or range`,
		`listeners[0].rules[1].conditions[0].client_certificate: never holds`,
	} {
		wantFaults(t, err, []string{want})
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 {
		t.Errorf("%d faults, want 5:\n%v", n, err)
	}
}
