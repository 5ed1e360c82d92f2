package trust_test

import (
	"crypto/x509"
	"flag"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/internal/vectors"
	"github.com/postern-lb/postern/trust"
)

const vectorsDir = "testdata/vectors"

var (
	updateVectors = flag.Bool("update-vectors", false, "write Postern's answers into the files of the suites")
	moreVectors   = flag.String("vectors", "", "another suite to run, as DIRECTORY/NAME")
)

var vectorSuites = []string{"pkits", "bettertls", "openssl", "go"}

// What was refused before there was a question.
const (
	notParsed     = "certificate not parsed" // crypto/tls ends the handshake
	bundleRefused = "bundle refused"
	listRefused   = "list refused" // it is not put in force, and the program does not start with it
)

// TestVectors puts the cases of public suites to Store.Verify. Of each case the
// answer is in the data, and where it is not what the suite expects, a sentence
// says why.
func TestVectors(t *testing.T) {
	for _, name := range vectorSuites {
		t.Run(name, func(t *testing.T) { runSuite(t, vectorsDir, name) })
	}
	if *moreVectors != "" {
		dir, name := filepath.Split(*moreVectors)
		t.Run("more", func(t *testing.T) { runSuite(t, dir, name) })
	}
}

func runSuite(t *testing.T, dir, name string) {
	s, err := vectors.Open(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	stranger := pki.NewRoot("no part of the suite").Cert
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Inapplicable != "" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			e := newExam(t, s, c)
			got := e.answer(stranger)
			if *updateVectors {
				c.Answer = got
			}
			if got != c.Answer {
				t.Errorf("answers %s, want %s", got, c.Answer)
			}
		})
	}
	counts, err := s.Tally()
	t.Logf("%s: %d agree, %d deliberate differences, %d inapplicable", s.Name, counts.Agree, counts.Difference, counts.Inapplicable)
	if *updateVectors {
		s.Counts = counts
		if err := s.Save(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if counts != s.Counts {
		t.Errorf("%+v, want %+v", counts, s.Counts)
	}
}

// An exam is one case, ready to be put to stores.
type exam struct {
	t       *testing.T
	trusted *trust.Bundle
	lists   *crl.Set
	chain   []*x509.Certificate
	at      time.Time
	early   string // the answer, if there is no question
}

func newExam(t *testing.T, s *vectors.Suite, c *vectors.Case) *exam {
	t.Helper()
	e := &exam{t: t, at: s.Time(c)}
	ders := func(get func(...string) ([][]byte, error), names []string) [][]byte {
		out, err := get(names...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var parsed bool
	if e.chain, parsed = parseAll(ders(s.Certificates, c.Chain)); !parsed {
		e.early = notParsed
		return e
	}
	e.load(ders(s.Certificates, c.Trusted), ders(s.Lists, c.CRLs))
	if c.Server && e.early == "" {
		for _, cert := range append(slices.Clone(e.chain), e.trusted.Certificates...) {
			asIfForClients(cert)
		}
	}
	return e
}

// load makes what an operator would configure.
func (e *exam) load(trusted, lists [][]byte) {
	var text []byte
	for _, der := range trusted {
		text = append(text, pki.PEM(&x509.Certificate{Raw: der})...)
	}
	var err error
	if e.trusted, err = trust.ParseBundle(text, e.at); err != nil {
		e.early = bundleRefused
		e.t.Log(err)
		return
	}
	var sources []crl.Source
	for i, der := range lists {
		list, err := crl.Parse(der)
		if err != nil {
			e.early = listRefused
			e.t.Log(err)
			return
		}
		sources = append(sources, crl.Source{Name: strconv.Itoa(i), List: list})
	}
	if e.lists, err = crl.NewSet(sources, e.trusted.Certificates); err != nil {
		e.early = listRefused
		e.t.Log(err)
	}
}

func parseAll(ders [][]byte) (certs []*x509.Certificate, ok bool) {
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, false
		}
		certs = append(certs, cert)
	}
	return certs, true
}

// asIfForClients lets clientAuth and serverAuth change places in what was
// parsed; the signed bytes stay as they are.
func asIfForClients(c *x509.Certificate) {
	for i, usage := range c.ExtKeyUsage {
		switch usage {
		case x509.ExtKeyUsageClientAuth:
			c.ExtKeyUsage[i] = x509.ExtKeyUsageServerAuth
		case x509.ExtKeyUsageServerAuth:
			c.ExtKeyUsage[i] = x509.ExtKeyUsageClientAuth
		}
	}
}

// answer puts the question in every way in which the answer must not change:
// to a store that knows nothing, again, with the helpers in another order, with
// a certificate too many, and once more to the store that has seen all this.
func (e *exam) answer(stranger *x509.Certificate) string {
	e.t.Helper()
	if e.early != "" {
		return e.early
	}
	warm := e.store()
	first := e.ask(warm, e.chain)
	other := slices.Clone(e.chain)
	slices.Reverse(other[1:])
	extra := append(slices.Clone(e.chain), stranger)
	for what, chain := range map[string][]*x509.Certificate{"again": e.chain, "permuted": other, "with another": extra} {
		if len(chain) > trust.LargestMaxDepth {
			continue
		}
		if got := e.ask(warm, chain); got != first {
			e.t.Errorf("%s: %s, at first %s", what, got, first)
		}
		if got := e.ask(e.store(), chain); got != first {
			e.t.Errorf("%s, of a store that knows nothing: %s, at first %s", what, got, first)
		}
	}
	// Whoever leaves the helpers out gets no help from those who did not.
	if cold, got := e.ask(e.store(), e.chain[:1]), e.ask(warm, e.chain[:1]); got != cold {
		e.t.Errorf("leaf alone: %s of the warm store, %s of a cold one", got, cold)
	}
	if first == vectors.Accept && !e.verify(warm, e.chain).MemoHit {
		e.t.Error("the acceptance is not remembered")
	}
	return first
}

func (e *exam) store() *trust.Store {
	s := trust.NewStore("vectors", trust.Options{})
	s.Publish(e.trusted, e.lists, "1")
	return s
}

func (e *exam) verify(s *trust.Store, chain []*x509.Certificate) *trust.Verdict {
	return judged(e.t, s, chain, &trust.Policy{MaxDepth: trust.LargestMaxDepth}, e.at)
}

func (e *exam) ask(s *trust.Store, chain []*x509.Certificate) string {
	e.t.Helper()
	v := e.verify(s, chain)
	if v.Accepted {
		return vectors.Accept
	}
	checkVerdict(e.t, v, v.Reason, v.Index)
	return string(v.Reason)
}
