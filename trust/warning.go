package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/postern-lb/postern/internal/dn"
)

// A WarningCode says what a [Warning] is about. Its text is stable.
type WarningCode string

// The warnings. Whether ALB checks any of this is not documented; API Gateway
// has its truststoreWarnings, which these follow.
const (
	WarnExpired        WarningCode = "expired"
	WarnNotYetValid    WarningCode = "not-yet-valid"
	WarnExpires1Day    WarningCode = "expires-within-1-day"
	WarnExpires7Days   WarningCode = "expires-within-7-days"
	WarnExpires30Days  WarningCode = "expires-within-30-days"
	WarnNotCA          WarningCode = "not-a-ca"
	WarnWeak           WarningCode = "weak-signature"
	WarnDuplicate      WarningCode = "duplicate"
	WarnConflict       WarningCode = "subject-conflict"
	WarnIncomplete     WarningCode = "incomplete"
	WarnCertificates   WarningCode = "too-many-certificates"
	WarnSubjectBytes   WarningCode = "too-many-subject-bytes"
	WarnUnusableIssuer WarningCode = "unusable-issuer"
)

// A Warning is something questionable about a bundle that does not fail it.
type Warning struct {
	Code    WarningCode
	Subject string // RFC 2253, empty if the bundle as a whole is meant
	Line    int    // where the certificate begins in the file, 0 for the bundle
	Problem string // reads on from the subject
}

// String returns the warning as one line.
func (w Warning) String() string {
	if w.Line == 0 {
		return "the bundle " + w.Problem
	}
	return fmt.Sprintf("line %d: %s %s", w.Line, quote(w.Subject), w.Problem)
}

// WarningsAt returns what is questionable about the bundle at the time now:
// first by certificate what depends on the time, then the rest.
func (b *Bundle) WarningsAt(now time.Time) []Warning {
	var list []Warning
	for i, c := range b.Certificates {
		if code, problem := dateWarning(c, now); code != "" {
			list = append(list, b.warning(i, code, "%s", problem))
		}
	}
	return append(list, b.notices...)
}

func dateWarning(c *x509.Certificate, now time.Time) (WarningCode, string) {
	left := c.NotAfter.Sub(now)
	soon := fmt.Sprintf("expires in %s, at %s", roughly(left), stamp(c.NotAfter))
	const day = 24 * time.Hour
	switch {
	case left < 0:
		return WarnExpired, fmt.Sprintf("expired at %s; clients below it are refused", stamp(c.NotAfter))
	case now.Before(c.NotBefore):
		return WarnNotYetValid, fmt.Sprintf("is valid from %s only; clients below it are refused until then", stamp(c.NotBefore))
	case left <= day:
		return WarnExpires1Day, soon
	case left <= 7*day:
		return WarnExpires7Days, soon
	case left <= 30*day:
		return WarnExpires30Days, soon
	}
	return "", ""
}

func roughly(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func (b *Bundle) warning(i int, code WarningCode, format string, args ...any) Warning {
	return Warning{
		Code: code, Subject: dn.RFC2253(b.Certificates[i].RawSubject), Line: b.lines[i],
		Problem: fmt.Sprintf(format, args...),
	}
}

func (b *Bundle) notice(i int, code WarningCode, format string, args ...any) {
	b.notices = append(b.notices, b.warning(i, code, format, args...))
}

// addNotices finds what is questionable whatever the time.
func (b *Bundle) addNotices() {
	bySubject := make(map[string][]int)
	subjects := 0
	for i, c := range b.Certificates {
		b.noticeKind(i, c)
		b.noticeConflict(i, bySubject[string(c.RawSubject)])
		bySubject[string(c.RawSubject)] = append(bySubject[string(c.RawSubject)], i)
		subjects += len(c.RawSubject) + 2
	}
	b.noticeIncomplete(bySubject)
	if n := len(b.Certificates); n > QuotaBundleCertificates {
		b.notices = append(b.notices, Warning{Code: WarnCertificates,
			Problem: fmt.Sprintf("holds %d certificates; ALB's default quota is %d", n, QuotaBundleCertificates)})
	}
	if subjects > QuotaSubjectBytes {
		b.notices = append(b.notices, Warning{Code: WarnSubjectBytes,
			Problem: fmt.Sprintf("has %d bytes of subjects; ALB's default quota is %d", subjects, QuotaSubjectBytes)})
	}
}

func (b *Bundle) noticeKind(i int, c *x509.Certificate) {
	problem := cannotIssue(c)
	switch {
	case problem == "":
	case !c.BasicConstraintsValid || !c.IsCA:
		b.notice(i, WarnNotCA, "is not a CA; it admits a client that presents exactly this certificate, and issues for nobody")
	default:
		b.notice(i, WarnUnusableIssuer, "%s; clients below it are refused", problem)
	}
	if badSignatureAlgorithm(c) != "" {
		b.notice(i, WarnWeak, "signed itself with %s; ALB refuses such a certificate", c.SignatureAlgorithm)
	}
}

// noticeConflict compares with the earlier certificates of the same subject.
func (b *Bundle) noticeConflict(i int, earlier []int) {
	if len(earlier) == 0 {
		return
	}
	c, first := b.Certificates[i], b.Certificates[earlier[0]]
	if !bytes.Equal(c.RawIssuer, first.RawIssuer) {
		b.notice(i, WarnConflict, "conflicts with the certificate of the same subject at line %d, which is from a different issuer; API Gateway refuses that",
			b.lines[earlier[0]])
		return
	}
	if !bytes.Equal(c.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		b.notice(i, WarnConflict, "has the subject of the certificate at line %d and another key", b.lines[earlier[0]])
	}
}

func (b *Bundle) noticeIncomplete(bySubject map[string][]int) {
	families := make(map[string][]*family, len(bySubject))
	for subject, indexes := range bySubject {
		for _, i := range indexes {
			if mayIssue(b.Certificates[i]) {
				families[subject] = join(families[subject], b.Certificates[i])
			}
		}
	}
	for i, c := range b.Certificates {
		if !selfSigned(c) && issuerOf(c, families[string(c.RawIssuer)]) == nil {
			b.notice(i, WarnIncomplete, "has an issuer, %s, that is not in the bundle; the path does not reach a root, which ALB allows",
				quote(dn.RFC2253(c.RawIssuer)))
		}
	}
}
