package trust_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

const testGrace = 6 * time.Hour

// The states that the list of a CA may be in, at a given time.
var listStates = []struct {
	name       string
	there      bool
	nextUpdate time.Duration // from now
}{
	{name: "missing"},
	{"fresh", true, time.Hour},
	{"within grace", true, -time.Hour},
	{"past grace", true, -7 * time.Hour},
}

// list is a list of ca that ends so long after now.
func list(ca *pki.Entity, now time.Time, nextUpdate time.Duration, revoked ...*pki.Entity) []byte {
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-48 * time.Hour), NextUpdate: now.Add(nextUpdate)}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: now.Add(-72 * time.Hour)})
	}
	return ca.SignCRL(template)
}

func policy(t testing.TB, c trust.RevocationConfig, b *trust.Bundle) *trust.RevocationPolicy {
	t.Helper()
	p, err := trust.NewRevocationPolicy(c, b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// harms is the policy in one sentence, apart from the code under test.
func harms(r trust.RevocationRule, state string) bool {
	switch state {
	case "missing":
		return r.Missing == trust.RevocationDeny
	case "within grace":
		return r.Expired == trust.RevocationDeny
	case "past grace":
		return r.Expired == trust.RevocationDeny || r.Expired == trust.RevocationGrace
	}
	return false
}

func allRules() (all []trust.RevocationRule) {
	for _, missing := range []trust.RevocationAction{"", trust.RevocationAllow, trust.RevocationDeny} {
		for _, expired := range []trust.RevocationAction{"", trust.RevocationAllow, trust.RevocationGrace, trust.RevocationDeny} {
			for _, scope := range []trust.RevocationScope{"", trust.RevocationChain, trust.RevocationLeaf} {
				r := trust.RevocationRule{Missing: missing, Expired: expired, Scope: scope}
				if expired == trust.RevocationGrace {
					r.Grace = testGrace
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// TestRevocationPolicy asks under every rule, with every state of the list about the
// client and of that about its CA: of a cold store, of the same one again, and of one
// that had accepted the client before under another policy.
func TestRevocationPolicy(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	chain := sub.Client("c").Chain()
	now := time.Now()
	b := bundle(t, root.Cert, sub.Cert)
	warm := store(t, root.Cert, sub.Cert)
	checkVerdict(t, warm.Verify(chain, nil, now), "", -1)
	for _, leafs := range listStates {
		for _, ofRoot := range listStates {
			var ders [][]byte
			if leafs.there {
				ders = append(ders, list(sub, now, leafs.nextUpdate))
			}
			if ofRoot.there {
				ders = append(ders, list(root, now, ofRoot.nextUpdate))
			}
			set := lists(t, b.Certificates, ders...)
			for _, r := range allRules() {
				t.Run(fmt.Sprintf("leaf's %s, CA's %s, %+v", leafs.name, ofRoot.name, r), func(t *testing.T) {
					want, index := trust.Reason(""), -1
					switch {
					case harms(r, leafs.name):
						want, index = trust.ClientCertCrlProcessingError, 0
					case r.Scope != trust.RevocationLeaf && harms(r, ofRoot.name):
						want, index = trust.ClientCertCrlProcessingError, 1
					}
					content := trust.Content{Bundle: b, Revocations: set, RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: r}, b)}
					cold := trust.NewStore("partners", trust.Options{})
					cold.Replace(content)
					warm.Replace(content)
					first := cold.Verify(chain, nil, now)
					checkVerdict(t, first, want, index)
					for _, v := range []*trust.Verdict{cold.Verify(chain, nil, now), warm.Verify(chain, nil, now)} {
						checkVerdict(t, v, want, index)
						if !v.Accepted && v.Detail != first.Detail {
							t.Errorf("detail %q, of a cold store %q", v.Detail, first.Detail)
						}
						if v.Accepted && !v.MemoHit {
							t.Error("not from the memo")
						}
					}
				})
			}
		}
	}
}

// A list that is out of date still revokes, whatever the policy: it is the best there is.
func TestRevocationPolicyNeverUnrevokes(t *testing.T) {
	root := pki.NewRoot("root")
	c := root.Client("c")
	now := time.Now()
	b := bundle(t, root.Cert)
	for _, r := range allRules() {
		s := trust.NewStore("partners", trust.Options{})
		s.Replace(trust.Content{Bundle: b, Revocations: lists(t, b.Certificates, list(root, now, -time.Hour, c)),
			RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: r}, b)})
		checkVerdict(t, judged(t, s, c.Chain(), nil, now), trust.ClientCertCrlHit, 0)
	}
}

// Leaf only means that nobody looks whether a CA is revoked.
func TestRevocationScopeLeaf(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	chain := sub.Client("c").Chain()
	for _, in := range [][]*x509.Certificate{{root.Cert}, {root.Cert, sub.Cert}} { // the CA below the anchor, and as the anchor
		b := bundle(t, in...)
		set := lists(t, b.Certificates, root.CRL(1, sub))
		for scope, want := range map[trust.RevocationScope]trust.Reason{trust.RevocationChain: trust.ClientCertCrlHit, trust.RevocationLeaf: ""} {
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: b, Revocations: set,
				RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: trust.RevocationRule{Scope: scope}}, b)})
			checkVerdict(t, judged(t, s, chain, nil, time.Now()), want, 1)
		}
	}
}

// TestRevocationAuthority has two CAs, of which one has promised lists.
func TestRevocationAuthority(t *testing.T) {
	strict, lax := pki.NewRoot("strict"), pki.NewRoot("lax")
	now := time.Now()
	b := bundle(t, strict.Cert, lax.Cert)
	deny := trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationDeny}
	sum := sha256.Sum256(strict.Cert.Raw)
	for name, a := range map[string]trust.RevocationAuthority{
		"subject":         {Subject: "CN=strict,O=Postern"},
		"sha256":          {SHA256: strings.ToUpper(fmt.Sprintf("%x", sum))},
		"colons":          {SHA256: strings.TrimSuffix(fmt.Sprintf("% x", sum), " ")},
		"key id":          {SubjectKeyID: fmt.Sprintf("%x", strict.Cert.SubjectKeyId)},
		"subject and key": {Subject: "CN=strict,O=Postern", SubjectKeyID: fmt.Sprintf("%X", strict.Cert.SubjectKeyId)},
	} {
		a.SHA256 = strings.ReplaceAll(a.SHA256, " ", ":")
		t.Run(name, func(t *testing.T) {
			a.RevocationRule = deny
			p := policy(t, trust.RevocationConfig{Authorities: []trust.RevocationAuthority{a}}, b)
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: b, RevocationPolicy: p})
			checkVerdict(t, judged(t, s, strict.Client("c").Chain(), nil, now), trust.ClientCertCrlProcessingError, 0)
			checkVerdict(t, judged(t, s, lax.Client("c").Chain(), nil, now), "", -1)
			s.SetRevocations(lists(t, b.Certificates, strict.CRL(1)))
			checkVerdict(t, judged(t, s, strict.Client("c").Chain(), nil, now), "", -1)
			s.SetRevocations(lists(t, b.Certificates, list(strict, now, -time.Hour)))
			v := judged(t, s, strict.Client("c").Chain(), nil, now)
			checkVerdict(t, v, trust.ClientCertCrlProcessingError, 0)
			if want := "expired at " + now.Add(-time.Hour).UTC().Format("2006-01-02T15:04"); !strings.Contains(v.Detail, want) || !strings.Contains(v.Detail, "CN=strict") {
				t.Errorf("the detail %q lacks %q", v.Detail, want)
			}
		})
	}
	// And the other way round: one CA is excused from what the store demands.
	p := policy(t, trust.RevocationConfig{RevocationRule: deny, Authorities: []trust.RevocationAuthority{
		{Subject: "CN=lax,O=Postern", RevocationRule: trust.RevocationRule{Missing: trust.RevocationAllow}}}}, b)
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b, RevocationPolicy: p})
	checkVerdict(t, judged(t, s, strict.Client("c").Chain(), nil, now), trust.ClientCertCrlProcessingError, 0)
	checkVerdict(t, judged(t, s, lax.Client("c").Chain(), nil, now), "", -1)
}

// Nobody publishes a list about himself: neither a root nor its renewal needs one, nor
// an intermediate whose issuer is not in the bundle, nor a pinned client.
func TestRevocationPolicyLeavesAnchorsAlone(t *testing.T) {
	root := pki.NewRoot("root")
	renewed := pki.NewRoot("root", pki.Key(root.Key))
	sub := root.Intermediate("sub")
	pinned := pki.NewSelfSigned("pinned")
	userOnly := pki.NewRoot("user lists")
	deny := trust.RevocationConfig{RevocationRule: trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationDeny}}
	for _, tt := range []struct {
		name   string
		bundle []*x509.Certificate
		lists  [][]byte
		chain  []*x509.Certificate
		want   trust.Reason
		index  int
	}{
		{"root", []*x509.Certificate{root.Cert}, [][]byte{root.CRL(1)}, root.Client("c").Chain(), "", -1},
		{"root, no list", []*x509.Certificate{root.Cert}, nil, root.Client("c").Chain(), trust.ClientCertCrlProcessingError, 0},
		{"two roots of a key", []*x509.Certificate{root.Cert, renewed.Cert}, [][]byte{userListOf(root)}, root.Client("c").Chain(), "", -1},
		{"two roots of a key, expired list", []*x509.Certificate{root.Cert, renewed.Cert}, [][]byte{list(root, time.Now(), -time.Hour)},
			root.Client("c").Chain(), trust.ClientCertCrlProcessingError, 0},
		{"partial chain", []*x509.Certificate{sub.Cert}, [][]byte{sub.CRL(1)}, sub.Client("c").Chain(), "", -1},
		{"issuer of the anchor without list", []*x509.Certificate{root.Cert, sub.Cert}, [][]byte{sub.CRL(1)}, sub.Client("c").Chain(), trust.ClientCertCrlProcessingError, 1},
		{"intermediate of the client's", []*x509.Certificate{root.Cert}, [][]byte{root.CRL(1)}, sub.Client("c").Chain(), trust.ClientCertCrlProcessingError, 0},
		{"pin", []*x509.Certificate{pinned.Cert}, nil, pinned.Chain(), "", -1},
		{"list of users only", []*x509.Certificate{userOnly.Cert}, [][]byte{userListOf(userOnly)}, userOnly.Client("c").Chain(), "", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bundle(t, tt.bundle...)
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: b, Revocations: lists(t, b.Certificates, tt.lists...), RevocationPolicy: policy(t, deny, b)})
			for range 2 {
				checkVerdict(t, judged(t, s, tt.chain, nil, time.Now()), tt.want, tt.index)
			}
		})
	}
}

// userListOf is a list that says it is about user certificates only.
func userListOf(ca *pki.Entity) []byte {
	return ca.SignCRL(&x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: userOnlyExtension(),
	})
}

// TestDeadline holds that the store accepts until the deadline and refuses after it.
func TestDeadline(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	now := time.Now().Truncate(time.Second)
	leaf := sub.Client("c", pki.Window(now.Add(-time.Hour), now.Add(10*time.Hour)))
	b := bundle(t, root.Cert, sub.Cert)
	graceful := trust.RevocationRule{Expired: trust.RevocationGrace, Grace: testGrace}
	leafOnly, deny := graceful, trust.RevocationRule{Expired: trust.RevocationDeny}
	leafOnly.Scope = trust.RevocationLeaf
	for _, tt := range []struct {
		name     string
		rule     trust.RevocationRule
		sub, top time.Duration // nextUpdate
		want     time.Duration
	}{
		{"the certificate ends first", graceful, 5 * time.Hour, 6 * time.Hour, 10 * time.Hour},
		{"ALB's policy", trust.RevocationRule{}, time.Hour, time.Hour, 10 * time.Hour},
		{"the leaf's list", graceful, time.Hour, 2 * time.Hour, 7 * time.Hour},
		{"the CA's list", graceful, 2 * time.Hour, time.Hour, 7 * time.Hour},
		{"the CA's list does not count", leafOnly, 3 * time.Hour, time.Hour, 9 * time.Hour},
		{"within grace already", graceful, -time.Hour, time.Hour, 5 * time.Hour},
		{"no grace", deny, time.Hour, 2 * time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: b, RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: tt.rule}, b),
				Revocations: lists(t, b.Certificates, list(sub, now, tt.sub), list(root, now, tt.top))})
			v := judged(t, s, leaf.Chain(), nil, now)
			checkVerdict(t, v, "", -1)
			end := s.Deadline(v, nil)
			if !end.Equal(now.Add(tt.want)) {
				t.Fatalf("the deadline is %v from now, want %v", end.Sub(now), tt.want)
			}
			checkVerdict(t, judged(t, s, leaf.Chain(), nil, end), "", -1)
			after := judged(t, s, leaf.Chain(), nil, end.Add(time.Second))
			if after.Accepted {
				t.Error("accepted after the deadline")
			}
			again := s.Reaffirm(v, leaf.Chain(), nil, end.Add(time.Second))
			if again.Reason != after.Reason || again.Detail != after.Detail || again.Index != after.Index {
				t.Errorf("asked again: %+v, of a new client: %+v", again, after)
			}
		})
	}
	forgiving := &trust.Policy{IgnoreExpiry: true}
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b})
	if end := s.Deadline(judged(t, s, leaf.Chain(), forgiving, now), forgiving); !end.Equal(sub.Cert.NotAfter) && !end.Equal(root.Cert.NotAfter) {
		t.Errorf("with the client's expiry ignored the deadline is %v, want that of the CA", end)
	}
}

// A list without nextUpdate does not expire.
func TestRevocationPolicyWithoutNextUpdate(t *testing.T) {
	root := pki.NewRoot("root")
	b := bundle(t, root.Cert)
	rule := trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationDeny}
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b, RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: rule}, b),
		Revocations: lists(t, b.Certificates, withoutNextUpdate(t, root))})
	v := judged(t, s, root.Client("c").Chain(), nil, time.Now())
	checkVerdict(t, v, "", -1)
}

// A hit allocates nothing, with rules as without.
func TestRevocationPolicyHitDoesNotAllocate(t *testing.T) {
	root := pki.NewRoot("root")
	chain := root.Client("c").Chain()
	b := bundle(t, root.Cert)
	rule := trust.RevocationRule{Missing: trust.RevocationDeny, Expired: trust.RevocationGrace, Grace: testGrace}
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: b, Revocations: lists(t, b.Certificates, root.CRL(1)), RevocationPolicy: policy(t, trust.RevocationConfig{
		RevocationRule: rule, Authorities: []trust.RevocationAuthority{{Subject: "CN=root,O=Postern", RevocationRule: rule}}}, b)})
	now := time.Now()
	v := s.Verify(chain, nil, now)
	if n := testing.AllocsPerRun(100, func() { v = s.Verify(chain, nil, now) }); n != 0 || !v.MemoHit {
		t.Errorf("%v allocations, verdict %+v", n, v)
	}
	if n := testing.AllocsPerRun(100, func() { s.Deadline(v, nil) }); n != 0 {
		t.Errorf("%v allocations for the deadline", n)
	}
}

func userOnlyExtension() []pkix.Extension {
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff}}}
}

// withoutNextUpdate is an empty list that never says when the next one comes, which
// crypto/x509 would not make.
func withoutNextUpdate(t *testing.T, ca *pki.Entity) []byte {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	signed, err := asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		ThisUpdate time.Time
	}{1, algorithm, asn1.RawValue{FullBytes: ca.Cert.RawSubject}, time.Now().Add(-time.Hour).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(signed)
	signature, err := ca.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: signed}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
