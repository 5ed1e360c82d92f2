package trust

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/postern-lb/postern/internal/dn"
)

// A Verdict is what [Store.Verify] decided. It may be shared between
// connections: neither it nor anything that it points to may be modified.
type Verdict struct {
	// Accepted says whether the client is let in.
	Accepted bool
	// Reason is empty if and only if Accepted.
	Reason Reason
	// Detail is a sentence for an operator, never for the client. Text taken
	// from certificates is quoted and cut, so it is safe to log.
	Detail string
	// Index is the position, in the presented chain, of the certificate at
	// fault. It is -1 if none is: accepted, nothing presented, or the fault is
	// in a certificate of the trust store.
	Index int
	// Chain is the verified path, leaf first and trust store certificate last.
	// A refusal has it only if a path was found.
	Chain []*x509.Certificate
	// Identity describes the leaf. A refusal has it, without Identity.Leaf, if
	// a leaf of tolerable size was presented.
	Identity *Identity
	// Busy says that nothing was found out: too many verifications were under
	// way. The reason is then UnmappedConnectionError.
	Busy bool
	// MemoHit says that an earlier, equal handshake was remembered.
	MemoHit bool

	presented *shared // of a remembered acceptance
	facts     *facts  // of an acceptance
}

// Share returns the certificates of the given chain, for which v was given, as
// all connections with this chain share them: crypto/tls parses them anew for
// each. A chain that is not remembered, or another, is returned as it is.
//
// Resumed says that crypto/tls had the chain from a session. It keeps parsed
// those certificates only that somebody else still holds, so that the first of
// them become the shared ones.
func (v *Verdict) Share(chain []*x509.Certificate, resumed bool) []*x509.Certificate {
	if v.presented == nil {
		return chain
	}
	return v.presented.share(chain, resumed)
}

// RefuseMissing returns the verdict on a client that presented no certificate
// where one is required. ALB has no code of its own for it.
func RefuseMissing() *Verdict {
	return refuse(UnmappedConnectionError, -1, "the client presented no certificate")
}

func refuse(r Reason, index int, format string, args ...any) *Verdict {
	return &Verdict{Reason: r, Index: index, Detail: fmt.Sprintf(format, args...)}
}

// about adds what is known of the leaf to a refusal.
func (v *Verdict) about(leaf *x509.Certificate) *Verdict {
	v.Identity = describe(leaf)
	return v
}

// aboutFirst is about for a chain whose sizes are not known to be good: a leaf
// that is too large is not even described.
func (v *Verdict) aboutFirst(chain []*x509.Certificate) *Verdict {
	if len(chain) == 0 || chain[0] == nil || len(chain[0].Raw) > MaxCertificateBytes {
		return v
	}
	return v.about(chain[0])
}

// maxQuoted is how many bytes of a certificate's text a Detail repeats.
const maxQuoted = 200

// quote makes text of unknown origin fit for a Detail.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut] + "...")
}

// quoteSubject names a certificate in a Detail.
func quoteSubject(c *x509.Certificate) string { return quote(dn.RFC2253(c.RawSubject)) }
