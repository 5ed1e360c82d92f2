package trust

import (
	"crypto/x509"

	"github.com/postern-lb/postern/crl"
)

// A Step is one thing that [Store.Verify] asks, in its order. Its text is stable.
type Step string

// The steps. Those from StepRevocation on are asked of each path by itself.
const (
	StepCount      Step = "certificates"
	StepSize       Step = "size"
	StepParts      Step = "parts"
	StepForm       Step = "form"
	StepKeyType    Step = "key_type"
	StepKeySize    Step = "key_size"
	StepSignature  Step = "signature_algorithm"
	StepPath       Step = "path"
	StepIdentity   Step = "identity_filters"
	StepRevocation Step = "revocation"
	StepNotBefore  Step = "not_before"
	StepNotAfter   Step = "not_after"
	StepPurpose    Step = "purpose"
)

// Steps returns every step in the order in which they are taken.
func Steps() []Step {
	return []Step{
		StepCount, StepSize, StepParts, StepForm, StepKeyType, StepKeySize, StepSignature,
		StepPath, StepIdentity, StepRevocation, StepNotBefore, StepNotAfter, StepPurpose,
	}
}

// pathSteps are the steps of a path by the numbers that judge gives them.
var pathSteps = [...]Step{
	stepRevocation: StepRevocation, stepNotBefore: StepNotBefore, stepNotAfter: StepNotAfter, stepPurpose: StepPurpose,
}

// A trace is written by the steps of a decision as they are taken. All methods do
// nothing on a nil one, which is what every decision has that nobody asks about.
// A step hands its verdict through: it needs no other line.
type trace struct {
	steps []outcome
	paths []tracedPath
}

type outcome struct {
	step    Step
	verdict *Verdict // nil: passed
}

type tracedPath struct {
	path  *path
	steps []outcome
	looks []look
}

// A look is one certificate asked of the revocation lists.
type look struct {
	cert, issuer *x509.Certificate
	result       crl.Result
	answered     Answer // by the responder, if there is one
}

// step notes a step that is asked once and returns v.
func (t *trace) step(s Step, v *Verdict) *Verdict {
	if t != nil {
		t.steps = append(t.steps, outcome{s, v})
	}
	return v
}

// begin notes that another path is judged.
func (t *trace) begin(p *path) {
	if t != nil {
		t.paths = append(t.paths, tracedPath{path: p})
	}
}

// onPath notes a step of the current path, by judge's number, and returns v.
func (t *trace) onPath(step int, v *Verdict) *Verdict {
	if t != nil {
		current := &t.paths[len(t.paths)-1]
		current.steps = append(current.steps, outcome{pathSteps[step], v})
	}
	return v
}

// looked notes what the revocation lists said of a certificate of the current path.
func (t *trace) looked(cert, issuer *x509.Certificate, r *crl.Result) {
	if t != nil {
		current := &t.paths[len(t.paths)-1]
		current.looks = append(current.looks, look{cert: cert, issuer: issuer, result: *r})
	}
}

// answered notes what the responder said of the certificate that was looked up last.
func (t *trace) answered(a Answer) {
	if t != nil {
		looks := t.paths[len(t.paths)-1].looks
		looks[len(looks)-1].answered = a
	}
}

// decided returns the path whose steps the verdict is about: the one accepted or
// the one that got furthest; nil if none was judged.
func (t *trace) decided() *tracedPath {
	var best *tracedPath
	for i := range t.paths {
		if best == nil || len(t.paths[i].steps) > len(best.steps) ||
			(len(t.paths[i].steps) == len(best.steps) && t.paths[i].accepted() && !best.accepted()) {
			best = &t.paths[i]
		}
	}
	return best
}

func (p *tracedPath) accepted() bool {
	return len(p.steps) == len(pathSteps) && p.steps[len(p.steps)-1].verdict == nil
}
