package trust

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
)

// A Relation is how a trust store certificate relates to a chain that does not lead
// to it.
type Relation string

// The relations, the nearest first.
const (
	// Its dates are what is wrong: it is on the path.
	RelationExpired     Relation = "expired"
	RelationNotYetValid Relation = "not-yet-valid"
	// It signed the certificate, but a constraint forbids the path.
	RelationConstrained Relation = "constrained"
	// It has the issuer's name and could not sign anything.
	RelationNotCA Relation = "not-a-ca"
	// It has the issuer's name and another key: the CA has renewed its key, or
	// somebody else uses its name.
	RelationOtherKey Relation = "same-subject-other-key"
	// It has the key that the certificate names and another name.
	RelationOtherName Relation = "same-key-id-other-name"
	// It has the key of a CA that the client sent, in another certificate.
	RelationSameKey Relation = "same-key-other-certificate"
	// Its name is like the issuer's.
	RelationSimilar Relation = "similar-subject"
)

// Nearest is the trust store certificate that a refused chain came nearest to.
type Nearest struct {
	CertFacts
	Relation Relation `json:"relation"`
	// Certificate is the one in the chain that it is nearest to; -1: none of them.
	Certificate int    `json:"certificate"`
	Problem     string `json:"problem"` // a sentence
}

// nearest finds the certificate of the store that would have matched, if something
// had been a little different. Nil if nothing comes near.
func (q *question) nearest(v *Verdict, snapshot *Snapshot) *Nearest {
	switch v.Reason {
	case ClientCertExpired, ClientCertNotYetValid:
		return q.nearestInTime(v)
	case ClientCertUntrusted:
		if len(q.chain) == 0 || v.Index >= len(q.chain) {
			return nil
		}
		return nearestIssuer(q.chain, max(v.Index, 0), snapshot)
	}
	return nil
}

// nearestInTime is the trust store certificate of the path, if its dates are at fault.
func (q *question) nearestInTime(v *Verdict) *Nearest {
	if v.Index >= 0 || len(v.Chain) == 0 {
		return nil
	}
	anchor := v.Chain[len(v.Chain)-1]
	relation := RelationExpired
	if v.Reason == ClientCertNotYetValid {
		relation = RelationNotYetValid
	}
	return &Nearest{CertFacts: NewCertFacts(anchor), Relation: relation, Certificate: -1, Problem: v.Detail}
}

// nearestIssuer looks for the issuer of the certificate at index at. The work is one
// comparison a trust store certificate, and a few signatures.
func nearestIssuer(chain []*x509.Certificate, at int, snapshot *Snapshot) *Nearest {
	c := chain[at]
	var best *x509.Certificate
	var relation Relation
	rank, score, tries := len(relations), 0, 0
	for _, ca := range snapshot.bundle.Certificates {
		r, s := relate(c, ca, &tries)
		if r < rank || (r == rank && r < len(relations) && s > score) {
			best, relation, rank, score = ca, relations[r], r, s
		}
	}
	if best == nil {
		return nil
	}
	n := &Nearest{CertFacts: NewCertFacts(best), Relation: relation, Certificate: at}
	n.Problem = relation.problem(c, best)
	return n
}

var relations = []Relation{
	RelationConstrained, RelationNotCA, RelationOtherKey, RelationOtherName, RelationSameKey, RelationSimilar,
}

// relate returns how near ca is to being the issuer of c, as an index of relations,
// which is one past the end if it is not.
func relate(c, ca *x509.Certificate, tries *int) (rank, score int) {
	named := bytes.Equal(c.RawIssuer, ca.RawSubject)
	switch {
	case named && !mayIssue(ca):
		return 1, 0
	case named:
		if *tries++; *tries <= maxIssuerTries && c.CheckSignatureFrom(ca) == nil {
			return 0, 0
		}
		return 2, 0
	case len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId):
		return 3, 0
	case len(c.RawSubjectPublicKeyInfo) > 0 && bytes.Equal(c.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo):
		return 4, 0
	}
	if s := likeness(&c.Issuer, &ca.Subject); s > 0 {
		return 5, s
	}
	return len(relations), 0
}

// likeness counts the attributes that two names share but for case and spaces; 0
// unless the common name or the organization is among them, or one common name
// begins like the other.
func likeness(a, b *pkix.Name) int {
	shared, tells := 0, sameStart(a.CommonName, b.CommonName)
	if tells {
		shared++
	}
	for _, x := range a.Names[:min(len(a.Names), MaxSubjectAttributes)] {
		for _, y := range b.Names[:min(len(b.Names), MaxSubjectAttributes)] {
			if x.Type.Equal(y.Type) && plain(x.Value) != "" && plain(x.Value) == plain(y.Value) {
				shared++
				tells = tells || x.Type.String() == "2.5.4.3" || x.Type.String() == "2.5.4.10"
			}
		}
	}
	if !tells {
		return 0
	}
	return shared
}

// sameStart compares the first words of two common names, as in "Example CA 1" and
// "Example CA 2".
func sameStart(a, b string) bool {
	a, b = plain(a), plain(b)
	i, j := strings.LastIndexByte(a, ' '), strings.LastIndexByte(b, ' ')
	return i > 0 && j > 0 && a[:i] == b[:j]
}

// plain is the text of an attribute without regard to case and runs of spaces; "" if
// it is no text or a long one.
func plain(value any) string {
	text, ok := value.(string)
	if !ok || len(text) > maxQuoted {
		return ""
	}
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}

func (r Relation) problem(c, ca *x509.Certificate) string {
	switch r {
	case RelationConstrained:
		return quoteSubject(ca) + " of the trust store issued " + quoteSubject(c) + ", but a constraint of a CA forbids the path"
	case RelationNotCA:
		return quoteSubject(ca) + " of the trust store has the issuer's name, but " + cannotIssue(ca)
	case RelationOtherKey:
		return quoteSubject(ca) + " of the trust store has the issuer's name and another key: it did not sign " + quoteSubject(c)
	case RelationOtherName:
		return quoteSubject(ca) + " of the trust store has the key identifier of the issuer, but not its name"
	case RelationSameKey:
		return quoteSubject(ca) + " of the trust store has the key of " + quoteSubject(c) + ", but is another certificate"
	}
	return quoteSubject(ca) + " of the trust store has a name like the issuer's"
}
