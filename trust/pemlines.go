package trust

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"

	"github.com/postern-lb/postern/internal/dn"
)

const (
	pemBegin  = "-----BEGIN "
	pemEnd    = "-----END "
	pemDashes = "-----"
	certType  = "CERTIFICATE"
)

// numbered yields the lines of a file from 1, without their ends and without
// trailing blanks. A line feed at the very end begins no line.
func numbered(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		data = bytes.TrimSuffix(data, []byte("\n"))
		for number := 1; ; number++ {
			line, rest, more := bytes.Cut(data, []byte("\n"))
			if !yield(number, bytes.TrimRight(line, " \t\r")) || !more {
				return
			}
			data = rest
		}
	}
}

// A bundleParser goes through a bundle line by line and collects certificates
// and faults.
type bundleParser struct {
	bundle *Bundle
	seen   map[string]int // DER to line
	faults BundleError
	count  int // certificates begun

	// The block that is open, if kind is not empty.
	kind  string
	start int
	body  []byte
	bad   bool // a fault of the block was reported already

	// A run of lines that are no PEM, reported as one fault.
	textFrom, textTo int
}

func (p *bundleParser) fault(format string, args ...any) {
	switch {
	case len(p.faults) < MaxBundleFaults:
		p.faults = append(p.faults, fmt.Sprintf(format, args...))
	case len(p.faults) == MaxBundleFaults:
		p.faults = append(p.faults, "there are more faults; these are the first")
	}
}

func (p *bundleParser) line(number int, line []byte) {
	isPEM := p.kind != "" || len(line) == 0 || line[0] == '#' || bytes.HasPrefix(line, []byte(pemDashes))
	if !isPEM {
		p.text(number)
		return
	}
	// Blank lines inside a text dump belong to it.
	if len(line) == 0 && p.textTo == number-1 && p.textTo > 0 {
		p.textTo = number
		return
	}
	p.flushText()
	switch text := string(line); {
	case strings.HasPrefix(text, pemBegin):
		p.begin(number, text)
	case strings.HasPrefix(text, pemEnd):
		p.finish(number, text)
	case p.kind != "":
		p.inside(number, line)
	case text == "":
		p.fault("line %d is blank, which ALB refuses; delete line %d", number, number)
	case text[0] == '#':
		p.comment(number, text)
	default:
		p.fault("line %d is neither a PEM boundary nor a comment: %s", number, quote(text))
	}
}

func (p *bundleParser) comment(number int, text string) {
	if strings.Contains(text, "-") {
		p.fault(`line %d: a comment must not hold "-", as ALB refuses it; remove each "-" or the line`, number)
	}
}

// text notes a line that is no PEM.
func (p *bundleParser) text(number int) {
	if p.textTo == 0 {
		p.textFrom = number
	}
	p.textTo = number
}

func (p *bundleParser) flushText() {
	if p.textTo == 0 {
		return
	}
	where := fmt.Sprintf("lines %d to %d are", p.textFrom, p.textTo)
	if p.textFrom == p.textTo {
		where = fmt.Sprintf("line %d is", p.textFrom)
	}
	p.fault("%s not PEM; only certificates and comments beginning with # may be in a bundle. "+
		"If `openssl x509 -text` wrote it, write it again without -text", where)
	p.textFrom, p.textTo = 0, 0
}

func (p *bundleParser) begin(number int, text string) {
	if p.kind != "" {
		p.fault("line %d: the block that begins at line %d has no END line; it is cut short", number, p.start)
	}
	kind, ok := strings.CutSuffix(strings.TrimPrefix(text, pemBegin), pemDashes)
	if !ok || kind == "" {
		p.fault("line %d: a BEGIN line must read -----BEGIN CERTIFICATE-----, not %s", number, quote(text))
		kind = "?"
	}
	p.kind, p.start, p.body, p.bad = kind, number, p.body[:0], !ok
	if kind == certType {
		p.count++
		return
	}
	p.bad = true
	if ok {
		p.fault("line %d: a %s block; a CA bundle holds CERTIFICATE blocks only. %s", number, quote(kind), otherBlock(kind))
	}
}

// otherBlock says what to do about a block that does not belong.
func otherBlock(kind string) string {
	switch {
	case strings.Contains(kind, "PRIVATE KEY"):
		return "Remove it, and treat the key as disclosed to whoever could read the bundle"
	case kind == "TRUSTED CERTIFICATE", kind == "X509 CERTIFICATE":
		return "Convert it with `openssl x509 -in FILE -out FILE.pem`"
	case kind == "X509 CRL":
		return "Revocation lists go into revocations, a file each"
	case kind == "PKCS7":
		return "Convert it with `openssl pkcs7 -print_certs -in FILE`, and remove its subject and issuer lines"
	}
	return "Remove it"
}

func (p *bundleParser) inside(number int, line []byte) {
	switch {
	case p.bad:
	case len(line) == 0:
		p.fault("line %d is blank, inside the certificate that begins at line %d; delete line %d", number, p.start, number)
	case bytes.IndexByte(line, ':') >= 0:
		p.fault("line %d: a certificate block must not have PEM headers; delete the line", number)
		p.bad = true
	default:
		p.body = append(p.body, line...)
	}
}

func (p *bundleParser) finish(number int, text string) {
	if p.kind == "" {
		p.fault("line %d: an END line without a BEGIN line; the certificate before it is cut short", number)
		return
	}
	kind, bad, start := p.kind, p.bad, p.start
	p.kind = ""
	if bad {
		return
	}
	if text != pemEnd+kind+pemDashes {
		p.fault("line %d: the block that begins at line %d ends with %s, not with -----END %s-----", number, start, quote(text), kind)
		return
	}
	p.certificate(start)
}

// end is called after the last line.
func (p *bundleParser) end() {
	p.flushText()
	if p.kind != "" {
		p.fault("line %d: the block that begins here has no END line; the file is cut short", p.start)
	}
	if p.count == 0 && len(p.faults) == 0 {
		p.fault("the bundle holds no certificate; it needs one at least, or it would refuse everyone")
	}
}

// certificate takes the block that was just read.
func (p *bundleParser) certificate(start int) {
	where := fmt.Sprintf("certificate %d (line %d)", p.count, start)
	if p.count > MaxBundleCertificates {
		if p.count == MaxBundleCertificates+1 {
			p.fault("%s: a bundle holds at most %d certificates", where, MaxBundleCertificates)
		}
		return
	}
	der := make([]byte, base64.StdEncoding.DecodedLen(len(p.body)))
	n, err := base64.StdEncoding.Strict().Decode(der, p.body)
	if err != nil {
		p.fault("%s: the base64 text is damaged; copy the certificate again", where)
		return
	}
	cert, problem := parseCertificate(der[:n])
	if problem == "" {
		problem = badAuthority(cert)
	}
	if problem != "" {
		p.fault("%s: %s", where, problem)
		return
	}
	if first, ok := p.seen[string(cert.Raw)]; ok {
		p.bundle.notices = append(p.bundle.notices, Warning{
			Code: WarnDuplicate, Subject: dn.RFC2253(cert.RawSubject), Line: start,
			Problem: fmt.Sprintf("is in the bundle already, at line %d", first),
		})
		return
	}
	p.seen[string(cert.Raw)] = start
	p.bundle.Certificates = append(p.bundle.Certificates, cert)
	p.bundle.lines = append(p.bundle.lines, start)
}
