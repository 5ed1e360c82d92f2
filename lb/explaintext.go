package lb

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-lb/postern/trust"
)

// Text returns the decision for a person: the verdict first, the remedy last.
func (d *ListenerDecision) Text() string {
	var b strings.Builder
	b.WriteString(d.Decision.Text())
	fmt.Fprintf(&b, "  listener  %s\n", d.Listener)
	if d.Explanation != nil {
		writeExplanation(&b, d.Explanation)
	}
	return b.String()
}

// writeExplanation writes one line a fact, aligned.
func writeExplanation(b *strings.Builder, e *trust.Explanation) {
	fmt.Fprintf(b, "  store     %s, version %s\n  at        %s\n\npresented\n", e.TrustStore, e.Version, e.At.Format(time.RFC3339))
	for i, c := range e.Presented {
		fmt.Fprintf(b, "  %d  %s\n     issuer %s, serial %s\n     %s\n     %s, %s, sha256 %s\n",
			i, c.Subject, c.Issuer, c.SerialNumber, c.Validity, c.Key, c.Signature, c.SHA256)
	}
	b.WriteString("\nsteps\n")
	for _, s := range e.Steps {
		writeStep(b, &s)
	}
	if len(e.Paths) > 0 {
		b.WriteString("\npaths\n")
	}
	for i, p := range e.Paths {
		end := "good"
		if p.Failed != "" {
			end = "failed at " + string(p.Failed)
		}
		fmt.Fprintf(b, "  %d  %s: %s\n", i, strings.Join(p.Subjects, " <- "), end)
	}
	writeLists(b, e.RevocationLists)
	if n := e.Nearest; n != nil {
		fmt.Fprintf(b, "\nnearest in the trust store (%s)\n  %s\n  %s\n  %s, sha256 %s\n", n.Relation, n.Problem, n.Validity, n.Key, n.SHA256)
	}
	if e.Remedy != "" {
		fmt.Fprintf(b, "\nremedy\n  %s\n", e.Remedy)
	}
}

func writeStep(b *strings.Builder, s *trust.StepTaken) {
	mark := map[trust.Outcome]string{trust.StepPassed: "[+]", trust.StepFailed: "[x]", trust.StepNotReached: "[ ]"}[s.Outcome]
	fmt.Fprintf(b, "  %s %-20s %-12s wanted  %s\n", mark, s.Step, s.Outcome, s.Wanted)
	indent := strings.Repeat(" ", 39)
	if s.Offered != "" {
		fmt.Fprintf(b, "%s  offered %s\n", indent[1:], s.Offered)
	}
	if s.Detail == "" {
		return
	}
	fault := ""
	if s.Certificate >= 0 {
		fault = fmt.Sprintf(" (certificate %d)", s.Certificate)
	}
	fmt.Fprintf(b, "%s  because %s%s\n", indent[1:], s.Detail, fault)
}

func writeLists(b *strings.Builder, lists []trust.ListAnswer) {
	if len(lists) > 0 {
		b.WriteString("\nrevocation lists\n")
	}
	for _, l := range lists {
		status := l.Status
		if l.Reason != "" {
			status += " (" + l.Reason + ")"
		}
		fmt.Fprintf(b, "  %s, serial %s: %s\n     issuer %s", l.Subject, l.SerialNumber, status, l.Issuer)
		if l.Responder != "" {
			fmt.Fprintf(b, ", asked elsewhere: %s", l.Responder)
		}
		if l.ThisUpdate.IsZero() {
			b.WriteString(", no list\n")
			continue
		}
		if l.Number != "" {
			fmt.Fprintf(b, ", list %s", l.Number)
		}
		fmt.Fprintf(b, ", %d entries, %s old\n     thisUpdate %s", l.Entries, time.Duration(l.AgeSeconds)*time.Second, l.ThisUpdate.Format(time.RFC3339))
		if !l.NextUpdate.IsZero() {
			fmt.Fprintf(b, ", nextUpdate %s", l.NextUpdate.Format(time.RFC3339))
		}
		b.WriteString("\n")
	}
}
