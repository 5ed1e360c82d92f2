package lb

import (
	"fmt"
	"strings"
	"time"
)

// shownClients is how many clients of a listener a text names.
const shownClients = 20

// Text returns the forecast for a person.
func (d *DryRun) Text() string {
	var b strings.Builder
	if d.Problem != "" {
		return fmt.Sprintf("recently seen clients: %s\n", d.Problem)
	}
	fmt.Fprintf(&b, "recently seen clients: %d known, %d locked out, %d undecided, %d admitted", d.Known, d.LockedOut, d.Undecided, d.Admitted)
	if d.NotJudged > 0 {
		fmt.Fprintf(&b, ", %d not judged", d.NotJudged)
	}
	b.WriteString("\n")
	for i := range d.Listeners {
		d.listenerText(&b, &d.Listeners[i])
	}
	if d.Known > 0 {
		b.WriteString("not known:\n")
		for _, text := range d.NotKnown {
			fmt.Fprintf(&b, "  %s\n", text)
		}
	}
	return b.String()
}

func (d *DryRun) listenerText(b *strings.Builder, l *DryRunListener) {
	if l.TrustStore == "" {
		fmt.Fprintf(b, "listener %s: %d not judged: the config has no listener of that name in mode verify\n", l.Listener, l.NotJudged)
		return
	}
	fmt.Fprintf(b, "listener %s, trust store %s: %d locked out, %d undecided, %d admitted\n", l.Listener, l.TrustStore, l.LockedOut, l.Undecided, l.Admitted)
	shown := 0
	for i := range d.Clients {
		c := &d.Clients[i]
		if c.Listener != l.Listener {
			continue
		}
		if shown++; shown > shownClients {
			fmt.Fprintf(b, "  and %d more; --json shows all\n", l.LockedOut+l.Undecided-shownClients)
			return
		}
		c.text(b)
	}
}

func (c *DryRunClient) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s: %s (serial %s, sha256 %s, last seen %s)\n", strings.ReplaceAll(c.Outcome, "_", " "),
		c.Subject, c.SerialNumber, c.SHA256, c.LastSeen.Format(time.RFC3339))
	switch {
	case c.Unsure != "" && c.Reason != "":
		fmt.Fprintf(b, "    probably %s: %s; but %s\n", c.Reason, c.Detail, c.Unsure)
	case c.Unsure != "":
		fmt.Fprintf(b, "    %s\n", c.Unsure)
	default:
		fmt.Fprintf(b, "    %s: %s\n", c.Reason, c.Detail)
	}
}
