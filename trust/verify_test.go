package trust_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// TestVerify is one flat table of certificates in words, which is why it is
// longer than a function should be: a row for each reason and for each place in
// the order of the steps, asked of a cold store and then of a warm one.
func TestVerify(t *testing.T) {
	root := pki.NewRoot("root")
	other := pki.NewRoot("other root")
	sub := root.Intermediate("sub")
	subsub := sub.Intermediate("subsub")
	rsaRoot := pki.NewRoot("rsa root", pki.RSA(2048))
	short := root.Intermediate("short", pathLenZero)
	limited := root.Intermediate("limited", permitsPartners)
	serverCA := root.Intermediate("server ca", usages(x509.ExtKeyUsageServerAuth))
	anyCA := root.Intermediate("any ca", anyUsage)
	signless := root.Intermediate("signless", keyUsage(x509.KeyUsageCRLSign))
	fake := root.Intermediate("fake ca", notACA)
	oddCA := root.Intermediate("odd ca", criticalOdd)
	oldSub := root.Intermediate("old sub", pki.Expired)
	newSub := root.Intermediate("new sub", pki.NotYetValid)
	oldRoot := pki.NewRoot("old root", pki.Expired)
	self := pki.NewSelfSigned("pinned")
	oddPin := pki.NewSelfSigned("odd pin", criticalOdd)
	bulky := root.Intermediate("bulky", bulk(15<<10))
	deep := subsub.Intermediate("d1").Intermediate("d2")

	join := func(chain []*x509.Certificate, more ...*pki.Entity) []*x509.Certificate {
		for _, e := range more {
			chain = append(chain, e.Cert)
		}
		return chain
	}
	certs := func(list ...*pki.Entity) []*x509.Certificate { return join(nil, list...) }

	for _, tt := range []struct {
		name   string
		store  []*x509.Certificate
		chain  []*x509.Certificate
		policy *trust.Policy
		want   trust.Reason // empty if the client is let in
		index  int          // of the certificate at fault
	}{
		// Paths.
		{name: "leaf of the root", store: certs(root), chain: root.Client("c").Chain()},
		{name: "leaf of an intermediate", store: certs(root), chain: sub.Client("c").Chain()},
		{name: "two intermediates", store: certs(root), chain: subsub.Client("c").Chain()},
		{name: "intermediates in the wrong order", store: certs(root), chain: certs(subsub.Client("c"), sub, subsub)},
		{name: "root sent too", store: certs(root), chain: join(sub.Client("c").Chain(), root)},
		{name: "stranger's certificate beside", store: certs(root), chain: join(sub.Client("c").Chain(), other)},
		{name: "intermediate not sent", store: certs(root), chain: sub.Client("c").Chain()[:1], want: trust.ClientCertUntrusted},
		{name: "intermediate in the store", store: certs(root, sub), chain: sub.Client("c").Chain()[:1]},
		{name: "intermediate alone in the store", store: certs(sub), chain: sub.Client("c").Chain()[:1]},
		{name: "intermediate alone in the store, sent too", store: certs(sub), chain: sub.Client("c").Chain()},
		{name: "unknown root", store: certs(root), chain: other.Client("c").Chain(), want: trust.ClientCertUntrusted},
		{name: "unknown root sent", store: certs(root), chain: join(other.Client("c").Chain(), other), want: trust.ClientCertUntrusted, index: 1},
		{name: "root of the same name", store: certs(root), chain: pki.NewRoot("root").Client("c").Chain(), want: trust.ClientCertUntrusted},
		{name: "self-signed stranger", store: certs(root), chain: certs(pki.NewSelfSigned("c")), want: trust.ClientCertUntrusted},
		{name: "path length exceeded", store: certs(root), chain: short.Intermediate("below").Client("c").Chain(), want: trust.ClientCertUntrusted, index: 2},
		{name: "path length kept", store: certs(root), chain: short.Client("c").Chain()},
		{name: "intermediate is no CA", store: certs(root), chain: certs(signed(t, fake, "c"), fake), want: trust.ClientCertUntrusted},
		{name: "intermediate may not sign certificates", store: certs(root), chain: certs(signed(t, signless, "c"), signless), want: trust.ClientCertUntrusted},
		{name: "anchor may not sign certificates", store: certs(root, signless), chain: certs(signed(t, signless, "c")), want: trust.ClientCertUntrusted},
		{name: "name constraint kept", store: certs(root), chain: limited.Client("c", pki.DNS("a.partners.example")).Chain()},
		{name: "name constraint broken", store: certs(root), chain: limited.Client("c", pki.DNS("a.evil.example")).Chain(), want: trust.ClientCertUntrusted},
		{name: "name constraint of the anchor broken", store: certs(limited), chain: limited.Client("c", pki.DNS("a.evil.example")).Chain()[:1], want: trust.ClientCertUntrusted},
		{name: "critical extension on the leaf", store: certs(root), chain: root.Client("c", criticalOdd).Chain(), want: trust.ClientCertUntrusted},
		{name: "critical extension on an intermediate", store: certs(root), chain: oddCA.Client("c").Chain(), want: trust.ClientCertUntrusted},

		// Pins.
		{name: "pinned self-signed leaf", store: certs(self), chain: certs(self)},
		{name: "pinned leaf of another CA", store: certs(root.Client("x"), self), chain: certs(self)},
		{name: "same name and serial as the pin", store: certs(self), chain: certs(forged(self)), want: trust.ClientCertUntrusted},
		{name: "issued with the pin's key", store: certs(self), chain: certs(signed(t, self, "c")), want: trust.ClientCertUntrusted},
		{name: "issued with the pin's key, pin sent", store: certs(self), chain: certs(signed(t, self, "c"), self), want: trust.ClientCertUntrusted},
		{name: "pin for servers only", store: certs(pinServer), chain: certs(pinServer), want: trust.ClientCertPurposeInvalid},
		{name: "pin with a critical extension", store: certs(oddPin), chain: certs(oddPin), want: trust.ClientCertUntrusted},
		{name: "CA of the store as client", store: certs(root), chain: certs(root), want: trust.ClientCertPurposeInvalid},

		// Counts and sizes.
		{name: "no certificate", store: certs(root), want: trust.UnmappedConnectionError, index: -1},
		{name: "four certificates", store: certs(root), chain: subsub.Intermediate("d1").Client("c").Chain()},
		{name: "five certificates", store: certs(root), chain: deep.Client("c").Chain(), want: trust.ClientCertMaxChainDepthExceeded, index: 4},
		{name: "five certificates where five are allowed", store: certs(root), chain: deep.Client("c").Chain(), policy: &trust.Policy{MaxDepth: 5}},
		{name: "two certificates where one is allowed", store: certs(root), chain: sub.Client("c").Chain(), policy: &trust.Policy{MaxDepth: 1}, want: trust.ClientCertMaxChainDepthExceeded, index: 1},
		{name: "a thousand names", store: certs(root), chain: root.Client("c", manyNames(1000)).Chain()},
		{name: "a thousand and one names", store: certs(root), chain: root.Client("c", manyNames(1001)).Chain(), want: trust.ClientCertMaxSizeExceeded},
		{name: "more than 16 KB", store: certs(root), chain: root.Client("c", manyNames(4000)).Chain(), want: trust.ClientCertMaxSizeExceeded},
		{name: "less than 64 KB together", store: certs(root), chain: join(bulky.Client("c").Chain(), bulky, bulky, bulky), policy: &trust.Policy{MaxDepth: 10}},
		{name: "more than 64 KB together", store: certs(root), chain: join(bulky.Client("c").Chain(), bulky, bulky, bulky, bulky), policy: &trust.Policy{MaxDepth: 10}, want: trust.ClientCertMaxSizeExceeded, index: 5},
		{name: "a hundred thousand names", store: certs(root), chain: root.Client("c", manyNames(100_000)).Chain(), want: trust.ClientCertMaxSizeExceeded},

		// Keys and signatures.
		{name: "RSA 2048", store: certs(root), chain: root.Client("c", pki.RSA(2048)).Chain()},
		{name: "RSA 1024", store: certs(root), chain: root.Client("c", pki.Key(rsa1024(t))).Chain(), want: trust.ClientCertIncompatible},
		{name: "RSA 1024 of a stranger", store: certs(root), chain: other.Client("c", pki.Key(rsa1024(t))).Chain(), want: trust.ClientCertIncompatible},
		{name: "P-384", store: certs(root), chain: root.Client("c", pki.Curve(elliptic.P384())).Chain()},
		{name: "P-521", store: certs(root), chain: root.Client("c", pki.Curve(elliptic.P521())).Chain()},
		{name: "P-224", store: certs(root), chain: root.Client("c", pki.Curve(elliptic.P224())).Chain(), want: trust.ClientCertIncompatible},
		{name: "P-224 intermediate", store: certs(root), chain: root.Intermediate("p224", pki.Curve(elliptic.P224())).Client("c").Chain(), want: trust.ClientCertIncompatible, index: 1},
		{name: "Ed25519", store: certs(root), chain: root.Client("c", ed25519Key(t)).Chain(), want: trust.ClientCertTypeUnsupported},
		{name: "Ed25519 intermediate", store: certs(root), chain: root.Intermediate("ed", ed25519Key(t)).Client("c").Chain(), want: trust.ClientCertTypeUnsupported, index: 1},
		{name: "RSA signature", store: certs(rsaRoot), chain: rsaRoot.Client("c").Chain()},
		{name: "PSS signature", store: certs(rsaRoot), chain: rsaRoot.Client("c", signedWith(x509.SHA384WithRSAPSS)).Chain()},
		{name: "SHA-512 signature", store: certs(rsaRoot), chain: rsaRoot.Client("c", signedWith(x509.SHA512WithRSA)).Chain()},
		{name: "SHA-1 signature", store: certs(rsaRoot), chain: certs(sha1Client(t)), want: trust.ClientCertIncompatible},
		{name: "version 1", store: certs(root), chain: certs(version1(t)), want: trust.ClientCertInvalid},
		{name: "bytes after the signature", store: certs(root), chain: []*x509.Certificate{padded(t, root.Client("c").Cert)}, want: trust.ClientCertInvalid},

		// Dates.
		{name: "expired", store: certs(root), chain: root.Client("c", pki.Expired).Chain(), want: trust.ClientCertExpired},
		{name: "not yet valid", store: certs(root), chain: root.Client("c", pki.NotYetValid).Chain(), want: trust.ClientCertNotYetValid},
		{name: "expired intermediate", store: certs(root), chain: oldSub.Client("c").Chain(), want: trust.ClientCertExpired, index: 1},
		{name: "intermediate not yet valid", store: certs(root), chain: newSub.Client("c").Chain(), want: trust.ClientCertNotYetValid, index: 1},
		{name: "expired root", store: certs(oldRoot), chain: oldRoot.Client("c").Chain(), want: trust.ClientCertExpired, index: -1},
		{name: "expired, ignored", store: certs(root), chain: root.Client("c", pki.Expired).Chain(), policy: &trust.Policy{IgnoreExpiry: true}},
		{name: "expired pin, ignored", store: certs(oldPin), chain: certs(oldPin), policy: &trust.Policy{IgnoreExpiry: true}},
		{name: "not yet valid is not ignored", store: certs(root), chain: root.Client("c", pki.NotYetValid).Chain(), policy: &trust.Policy{IgnoreExpiry: true}, want: trust.ClientCertNotYetValid},
		{name: "expired intermediate is not ignored", store: certs(root), chain: oldSub.Client("c").Chain(), policy: &trust.Policy{IgnoreExpiry: true}, want: trust.ClientCertExpired, index: 1},
		{name: "expired root is not ignored", store: certs(oldRoot), chain: oldRoot.Client("c").Chain(), policy: &trust.Policy{IgnoreExpiry: true}, want: trust.ClientCertExpired, index: -1},

		// Purpose.
		{name: "no extended key usage", store: certs(root), chain: root.Client("c", noUsage).Chain()},
		{name: "client and server", store: certs(root), chain: root.Client("c", bothUsages).Chain()},
		{name: "server only", store: certs(root), chain: root.Client("c", pki.ServerOnly).Chain(), want: trust.ClientCertPurposeInvalid},
		{name: "any usage alone", store: certs(root), chain: root.Client("c", anyUsage).Chain(), want: trust.ClientCertPurposeInvalid},
		{name: "empty extended key usage", store: certs(root), chain: root.Client("c", emptyEKU).Chain(), want: trust.ClientCertPurposeInvalid},
		{name: "key encipherment only", store: certs(root), chain: root.Client("c", encipherment).Chain(), want: trust.ClientCertPurposeInvalid},
		{name: "key agreement", store: certs(root), chain: root.Client("c", agreement).Chain()},
		{name: "no key usage", store: certs(root), chain: root.Client("c", noKeyUsage).Chain()},
		{name: "intermediate for servers", store: certs(root), chain: serverCA.Client("c").Chain(), want: trust.ClientCertPurposeInvalid, index: 1},
		{name: "intermediate for any usage", store: certs(root), chain: anyCA.Client("c").Chain(), want: trust.ClientCertPurposeInvalid, index: 1},
		{name: "anchor for servers is the operator's choice", store: certs(serverCA), chain: serverCA.Client("c").Chain()},

		// Order of the steps.
		{name: "untrusted before expired", store: certs(root), chain: other.Client("c", pki.Expired).Chain(), want: trust.ClientCertUntrusted},
		{name: "depth before size", store: certs(root), chain: join(root.Client("c", manyNames(4000)).Chain(), sub, sub, sub, sub), want: trust.ClientCertMaxChainDepthExceeded, index: 4},
		{name: "size before key type", store: certs(root), chain: root.Client("c", ed25519Key(t), manyNames(4000)).Chain(), want: trust.ClientCertMaxSizeExceeded},
		{name: "key type before path", store: certs(root), chain: other.Client("c", ed25519Key(t)).Chain(), want: trust.ClientCertTypeUnsupported},
		{name: "expired before purpose", store: certs(root), chain: root.Client("c", pki.Expired, pki.ServerOnly).Chain(), want: trust.ClientCertExpired},
		{name: "not yet valid before expired", store: certs(oldRoot), chain: oldRoot.Client("c", pki.NotYetValid).Chain(), want: trust.ClientCertNotYetValid},
		{name: "path before filters", store: certs(root), chain: other.Client("c").Chain(), policy: onlyAcme(t), want: trust.ClientCertUntrusted},
		{name: "filters before dates", store: certs(root), chain: root.Client("c", pki.Expired).Chain(), policy: onlyAcme(t), want: trust.ClientCertRejected},
		{name: "filters admit", store: certs(root), chain: root.Client("acme-1").Chain(), policy: onlyAcme(t)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store(t, tt.store...)
			got := judged(t, s, tt.chain, tt.policy, time.Now())
			checkVerdict(t, got, tt.want, tt.index)
			again := s.Verify(tt.chain, tt.policy, time.Now())
			checkVerdict(t, again, tt.want, tt.index)
			if again.MemoHit != (tt.want == "") {
				t.Errorf("the second time MemoHit = %v", again.MemoHit)
			}
			if tt.want == "" && !got.Chain[0].Equal(tt.chain[0]) {
				t.Errorf("the path begins with %v", got.Chain[0].Subject)
			}
		})
	}
}

func TestVerifyRevocation(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	mute := root.Intermediate("mute") // has no list
	cas := []*x509.Certificate{root.Cert, sub.Cert}
	good, bad := sub.Client("good"), sub.Client("bad")
	badOld := sub.Client("bad", pki.Expired)
	badNew := sub.Client("bad", pki.NotYetValid)
	badServer := sub.Client("bad", pki.ServerOnly)
	direct := root.Client("bad")

	for _, tt := range []struct {
		name   string
		store  []*x509.Certificate
		lists  [][]byte
		chain  []*x509.Certificate
		policy *trust.Policy
		want   trust.Reason
		index  int
	}{
		{name: "not on the list", lists: [][]byte{sub.CRL(1, bad)}, chain: good.Chain()},
		{name: "leaf", lists: [][]byte{sub.CRL(1, bad)}, chain: bad.Chain(), want: trust.ClientCertCrlHit},
		{name: "leaf of the root", lists: [][]byte{root.CRL(1, direct)}, chain: direct.Chain(), want: trust.ClientCertCrlHit},
		{name: "intermediate", lists: [][]byte{sub.CRL(1, bad), root.CRL(1, sub)}, chain: good.Chain(), want: trust.ClientCertCrlHit, index: 1},
		{name: "intermediate in the store, sent", store: cas, lists: [][]byte{root.CRL(1, sub)}, chain: good.Chain(), want: trust.ClientCertCrlHit, index: 1},
		{name: "intermediate in the store, not sent", store: cas, lists: [][]byte{root.CRL(1, sub)}, chain: good.Chain()[:1], want: trust.ClientCertCrlHit, index: -1},
		{name: "pin whose issuer is in the store", store: []*x509.Certificate{root.Cert, direct.Cert}, lists: [][]byte{root.CRL(1, direct)}, chain: direct.Chain(), want: trust.ClientCertCrlHit},
		{name: "no list of that issuer", lists: [][]byte{sub.CRL(1, bad)}, chain: mute.Client("c").Chain()},
		{name: "revoked before expired", lists: [][]byte{sub.CRL(1, badOld)}, chain: badOld.Chain(), want: trust.ClientCertCrlHit},
		{name: "revoked before not yet valid", lists: [][]byte{sub.CRL(1, badNew)}, chain: badNew.Chain(), want: trust.ClientCertCrlHit},
		{name: "revoked before purpose", lists: [][]byte{sub.CRL(1, badServer)}, chain: badServer.Chain(), want: trust.ClientCertCrlHit},
		{name: "filters before revocation", lists: [][]byte{sub.CRL(1, bad)}, chain: bad.Chain(), policy: onlyAcme(t), want: trust.ClientCertRejected},
		{name: "same serial, other issuer", lists: [][]byte{sub.CRL(1, bad)}, chain: root.Client("c", pki.Serial(bad.Cert.SerialNumber)).Chain()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trusted := tt.store
			if trusted == nil {
				trusted = []*x509.Certificate{root.Cert}
			}
			s := trust.NewStore("partners", trust.Options{})
			s.Publish(bundle(t, trusted...), lists(t, cas, tt.lists...), "1")
			checkVerdict(t, judged(t, s, tt.chain, tt.policy, time.Now()), tt.want, tt.index)
		})
	}
}

func TestNewListTakesEffectAtOnce(t *testing.T) {
	root := pki.NewRoot("root")
	client := root.Client("c")
	s := store(t, root.Cert)
	for range 2 { // the second is a memo hit
		checkVerdict(t, s.Verify(client.Chain(), nil, time.Now()), "", 0)
	}
	s.SetRevocations(lists(t, []*x509.Certificate{root.Cert}, root.CRL(1, client)))
	checkVerdict(t, s.Verify(client.Chain(), nil, time.Now()), trust.ClientCertCrlHit, 0)
	s.SetRevocations(nil)
	checkVerdict(t, s.Verify(client.Chain(), nil, time.Now()), "", 0)
}

// One key certified by two roots: the path that is still good decides.
func TestCrossSigned(t *testing.T) {
	a, b := pki.NewRoot("root a"), pki.NewRoot("root b")
	subA := a.Intermediate("sub")
	subB := b.Intermediate("sub", pki.Key(subA.Key))
	leaf := subA.Client("c")
	chain := []*x509.Certificate{leaf.Cert, subA.Cert, subB.Cert}
	cas := []*x509.Certificate{a.Cert, b.Cert}

	s := store(t, a.Cert, b.Cert)
	checkVerdict(t, s.Verify(chain, nil, time.Now()), "", 0)
	// A list of root a only ends the path through it, on a warm store too.
	s.SetRevocations(lists(t, cas, a.CRL(1, subA)))
	v := s.Verify(chain, nil, time.Now())
	checkVerdict(t, v, "", 0)
	if !v.Chain[2].Equal(b.Cert) {
		t.Errorf("the path ends in %v, want root b", v.Chain[2].Subject)
	}
	if v := s.Verify(chain, nil, time.Now()); !v.MemoHit || s.Stats().Entries != 1 {
		t.Errorf("memo hit %v, %d entries; the new path did not take the place of the old", v.MemoHit, s.Stats().Entries)
	}
	s.SetRevocations(lists(t, cas, a.CRL(1, subA), b.CRL(1, subB)))
	checkVerdict(t, s.Verify(chain, nil, time.Now()), trust.ClientCertCrlHit, 1)

	// Of two bad paths the one that got furthest is reported: root b's has
	// expired, which comes after revocation.
	old := b.Intermediate("sub", pki.Key(subA.Key), pki.Expired)
	s.SetRevocations(lists(t, cas, a.CRL(1, subA)))
	checkVerdict(t, s.Verify([]*x509.Certificate{leaf.Cert, subA.Cert, old.Cert}, nil, time.Now()), trust.ClientCertExpired, 2)
}

// The old and the new certificate of a root with the same name and key.
func TestRootRollover(t *testing.T) {
	old := pki.NewRoot("root", pki.Expired)
	renewed := pki.NewRoot("root", pki.Key(old.Key))
	leaf := old.Client("c").Cert
	s := store(t, old.Cert)
	checkVerdict(t, s.Verify([]*x509.Certificate{leaf}, nil, time.Now()), trust.ClientCertExpired, -1)
	s.Publish(bundle(t, old.Cert, renewed.Cert), nil, "2")
	checkVerdict(t, s.Verify([]*x509.Certificate{leaf}, nil, time.Now()), "", 0)
	// Another key under the same name vouches for nothing.
	s.Publish(bundle(t, pki.NewRoot("root").Cert), nil, "3")
	checkVerdict(t, s.Verify([]*x509.Certificate{leaf}, nil, time.Now()), trust.ClientCertUntrusted, 0)
}

func TestEmptyStoreRefusesEveryone(t *testing.T) {
	root := pki.NewRoot("root")
	chain := root.Client("c").Chain()
	s := trust.NewStore("partners", trust.Options{})
	checkVerdict(t, s.Verify(chain, nil, time.Now()), trust.ClientCertUntrusted, 0)
	s.Publish(bundle(t, root.Cert), nil, "1")
	checkVerdict(t, s.Verify(chain, nil, time.Now()), "", 0)
	s.Publish(nil, nil, "")
	checkVerdict(t, s.Verify(chain, nil, time.Now()), trust.ClientCertUntrusted, 0)
}

func TestHalfParsedChain(t *testing.T) {
	root := pki.NewRoot("root")
	chain := append(root.Client("c").Chain(), nil)
	checkVerdict(t, store(t, root.Cert).Verify(chain, nil, time.Now()), trust.ClientCertInvalid, 1)
	checkVerdict(t, store(t, root.Cert).Verify([]*x509.Certificate{{}}, nil, time.Now()), trust.ClientCertInvalid, 0)
}

// The edges of a validity belong to it.
func TestDatesToTheSecond(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	until := from.Add(time.Hour)
	root := pki.NewRoot("root", pki.Window(from.AddDate(-1, 0, 0), until.AddDate(1, 0, 0)))
	chain := root.Client("c", pki.Window(from, until)).Chain()
	for _, tt := range []struct {
		at   time.Time
		want trust.Reason
	}{
		{from.Add(-time.Second), trust.ClientCertNotYetValid}, {from, ""}, {until, ""},
		{until.Add(time.Second), trust.ClientCertExpired}, {from, ""},
	} {
		warm := store(t, root.Cert)
		warm.Verify(chain, nil, from.Add(time.Minute))
		for _, s := range []*trust.Store{store(t, root.Cert), warm} {
			checkVerdict(t, s.Verify(chain, nil, tt.at), tt.want, 0)
		}
	}
}

func TestDetailQuotesWhatTheCertificateSays(t *testing.T) {
	name := pkix.Name{CommonName: "evil\n2026-01-01 Success " + strings.Repeat("x", 5000)}
	v := store(t, pki.NewRoot("root").Cert).Verify(pki.NewRoot("other").Client("", pki.Subject(name)).Chain(), nil, time.Now())
	checkVerdict(t, v, trust.ClientCertUntrusted, 0)
}

func TestManyIntermediatesOfOneName(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	chain := sub.Client("c").Chain()[:1]
	for range 9 {
		chain = append(chain, root.Intermediate("sub").Cert)
	}
	start := time.Now()
	checkVerdict(t, store(t, root.Cert).Verify(chain, &trust.Policy{MaxDepth: 10}, time.Now()), trust.ClientCertUntrusted, 0)
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// A refused client's name is for the log; its certificate is not, and a huge
// one is not looked at.
func TestRefusalNamesTheLeafWithoutItsBytes(t *testing.T) {
	s, other := store(t, pki.NewRoot("root").Cert), pki.NewRoot("other")
	leaf := other.Client("c")
	for _, chain := range [][]*x509.Certificate{
		leaf.Chain(),
		{leaf.Cert, other.Cert, other.Cert, other.Cert, other.Cert},
		{leaf.Cert, other.Client("big", manyNames(4000)).Cert},
	} {
		id := s.Verify(chain, nil, time.Now()).Identity
		if id == nil || id.Subject != "CN=c,O=Postern" || id.Leaf != "" {
			t.Errorf("%d certificates: identity %+v", len(chain), id)
		}
	}
	if v := s.Verify(other.Client("big", manyNames(4000)).Chain(), nil, time.Now()); v.Identity != nil {
		t.Errorf("identity %+v of a certificate that is too large", v.Identity)
	}
}
