package trust_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// A scripted responder says of leaves what it is told, and counts what it is asked.
type scripted struct {
	answer trust.Answer
	broken bool
	asked  []trust.Query
}

// Check implements trust.Responder.
func (s *scripted) Check(q trust.Query) trust.Answer {
	s.asked = append(s.asked, q)
	if s.broken {
		panic("broken")
	}
	if !q.Leaf {
		return trust.Answer{}
	}
	return s.answer
}

func TestResponder(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	client := sub.Client("c")
	b := bundle(t, root.Cert, sub.Cert)
	cas := []*x509.Certificate{root.Cert, sub.Cert}
	now := time.Now()
	for name, tt := range map[string]struct {
		answer  trust.Answer
		broken  bool
		lists   *crl.Set
		missing trust.RevocationAction
		want    trust.Reason
		text    string
	}{
		"nothing":                   {want: ""},
		"good":                      {answer: trust.Answer{Status: trust.AnswerGood}, want: ""},
		"revoked":                   {answer: trust.Answer{Status: trust.AnswerRevoked, Reason: 1, Detail: "somebody"}, want: trust.ClientCertCrlHit, text: `is revoked (keyCompromise), says "somebody"`},
		"failed":                    {answer: trust.Answer{Status: trust.AnswerFailed, Detail: "no route"}, want: trust.ClientCertCrlProcessingError, text: "no route"},
		"broken":                    {broken: true, want: trust.ClientCertCrlProcessingError, text: "asking the responder went wrong"},
		"revoked by the list only":  {answer: trust.Answer{Status: trust.AnswerGood}, lists: lists(t, cas, sub.CRL(1, client)), want: trust.ClientCertCrlHit, text: "by the list"},
		"good, for a missing list":  {answer: trust.Answer{Status: trust.AnswerGood}, lists: lists(t, cas, root.CRL(1)), missing: trust.RevocationDeny, want: ""},
		"nothing, a list is wanted": {lists: lists(t, cas, root.CRL(1)), missing: trust.RevocationDeny, want: trust.ClientCertCrlProcessingError, text: "no revocation list"},
	} {
		t.Run(name, func(t *testing.T) {
			responder := &scripted{answer: tt.answer, broken: tt.broken}
			s := trust.NewStore("partners", trust.Options{})
			s.Replace(trust.Content{Bundle: b, Revocations: tt.lists, Responder: responder,
				RevocationPolicy: policy(t, trust.RevocationConfig{RevocationRule: trust.RevocationRule{Missing: tt.missing}}, b)})
			for range 2 { // cold and warm
				v := s.Verify(client.Chain(), nil, now)
				checkVerdict(t, v, tt.want, 0)
				if !strings.Contains(v.Detail, tt.text) {
					t.Errorf("the detail %q does not say %q", v.Detail, tt.text)
				}
			}
			if tt.lists == nil && (len(responder.asked) == 0 || !responder.asked[0].Wait || responder.asked[0].Connected) {
				t.Errorf("asked %+v", responder.asked)
			}
			v, e := s.Explain(client.Chain(), nil, now)
			checkVerdict(t, v, tt.want, 0)
			if tt.answer.Status != trust.AnswerNone && tt.lists == nil && (len(e.RevocationLists) == 0 || e.RevocationLists[0].Responder == "") {
				t.Errorf("the explanation does not tell of the answer: %+v", e.RevocationLists)
			}
		})
	}
}

// A client that is connected is asked about as such, and nobody waits.
func TestResponderAboutConnectedClients(t *testing.T) {
	root := pki.NewRoot("root")
	responder := new(scripted)
	s := trust.NewStore("partners", trust.Options{})
	s.Replace(trust.Content{Bundle: bundle(t, root.Cert), Responder: responder})
	chain := root.Client("c").Chain()
	v := s.Verify(chain, nil, time.Now())
	checkVerdict(t, v, "", -1)
	before := s.Changes()
	s.Changed()
	if s.Changes() == before {
		t.Error("a change does not count")
	}
	responder.asked = nil
	checkVerdict(t, s.Reaffirm(v, chain, nil, time.Now()), "", -1)
	if len(responder.asked) != 1 || responder.asked[0].Wait || !responder.asked[0].Connected {
		t.Errorf("asked %+v", responder.asked)
	}
	responder.answer = trust.Answer{Status: trust.AnswerRevoked, Detail: "somebody"}
	checkVerdict(t, s.Reaffirm(v, chain, nil, time.Now()), trust.ClientCertCrlHit, 0)
}
