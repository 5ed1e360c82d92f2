package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	stepTimeout = 15 * time.Second
	// logWait bounds how long a line may take from the event to the file.
	logWait = 3 * time.Second
)

// A step is one curl command and what must come of it.
type step struct {
	title    string
	listener string
	args     []string // of curl

	status  string   // HTTP status; "000" if curl must get no answer
	has     []string // what the answer must hold
	hasNot  []string
	verdict string // what the connection log must say of it
	why     string
}

func (s step) command() string {
	var b strings.Builder
	b.WriteString("curl")
	for _, arg := range s.args {
		if strings.ContainsAny(arg, " '\"{}") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		b.WriteString(" " + arg)
	}
	return b.String()
}

func (s *site) steps() []step {
	return []step{
		{
			title: "a partner's certificate is verified, and the target is told who it is", listener: "verify",
			args: s.curl("verify", "alice"), status: "200", verdict: "Success",
			has: []string{"Clientcert-Subject: CN=alice", "Clientcert-Issuer: CN=Demo Partners CA", "Clientcert-Leaf: -----BEGIN%20CERTIFICATE"},
			why: "alice's chain leads to the trust store and no CRL names it",
		},
		{
			title: "the same over HTTP/2 for a fixed response", listener: "verify",
			args: append(s.curl("verify", "alice", "/ping"), "--http2"), status: "200", verdict: "Success",
			has: []string{"pong"}, why: "rule 10 answers /ping without a target",
		},
		{
			title: "headers that a client makes up never reach the target", listener: "verify",
			args:   append(s.curl("verify", "alice"), "-H", "X-Amzn-Mtls-Clientcert-Subject: CN=admin", "-H", "X_Amzn_Mtls_Clientcert_Leaf: forged"),
			status: "200", verdict: "Success", has: []string{"Clientcert-Subject: CN=alice"}, hasNot: []string{"CN=admin", "forged"},
			why: "managed headers are removed in every spelling before Postern sets its own",
		},
		{
			title: "no certificate: the connection is reset", listener: "verify",
			args: s.curl("verify", ""), status: "000", verdict: "Failed:UnmappedConnectionError",
			why: "verify mode requires a certificate",
		},
		{
			title: "a revoked certificate: reset", listener: "verify",
			args: s.curl("verify", "bob"), status: "000", verdict: "Failed:ClientCertCrlHit", why: "the CRL lists bob's serial",
		},
		{
			title: "an expired certificate: reset", listener: "verify",
			args: s.curl("verify", "carol"), status: "000", verdict: "Failed:ClientCertExpired", why: "carol's certificate has ended",
		},
		{
			title: "the same name from another CA: reset", listener: "verify",
			args: s.curl("verify", "mallory"), status: "000", verdict: "Failed:ClientCertUntrusted", why: "no path leads to the trust store",
		},
		{
			title: "passthrough: the chain goes to the target unchecked", listener: "passthrough",
			args: s.curl("passthrough", "mallory"), status: "200", verdict: "Success",
			has: []string{"X-Amzn-Mtls-Clientcert: -----BEGIN%20CERTIFICATE"}, hasNot: []string{"Clientcert-Subject"},
			why: "the target decides",
		},
		{
			title: "passthrough without a certificate", listener: "passthrough",
			args: s.curl("passthrough", ""), status: "200", verdict: "Success", hasNot: []string{"Clientcert"},
			why: "the request goes on, without the header",
		},
		{
			title: "off: no certificate is asked for", listener: "off",
			args: s.curl("off", "alice"), status: "200", verdict: "Success", hasNot: []string{"Clientcert"},
			why: "plain TLS",
		},
		{
			title: "forbidden: a revoked client gets API Gateway's 403", listener: "forbidden",
			args: s.curl("forbidden", "bob"), status: "403", verdict: "Failed:ClientCertCrlHit",
			has: []string{`{"message":"Forbidden"}`}, hasNot: []string{"bob", "revoked"},
			why: "the reason is in the log, not in the answer",
		},
		{
			title: "forbidden: a partner passes", listener: "forbidden",
			args: s.curl("forbidden", "alice"), status: "200", verdict: "Success", has: []string{"Clientcert-Subject: CN=alice"},
			why: "as in verify mode",
		},
	}
}

// curl returns the arguments for a request to a listener as client, or as nobody.
func (s *site) curl(listener, client string, path ...string) []string {
	url := "https://" + s.addresses[listener] + "/hello"
	if len(path) > 0 {
		url = "https://" + s.addresses[listener] + path[0]
	}
	args := []string{"-sS", "--cacert", s.path("pki", "root.pem"), url}
	if client != "" {
		args = append(args, "--cert", s.path("pki", client+".pem"), "--key", s.path("pki", client+"-key.pem"))
	}
	return args
}

// runSteps runs every step and tells what came back.
func (s *site) runSteps(ctx context.Context, steps []step, out io.Writer) error {
	if _, err := exec.LookPath("curl"); err != nil {
		return fmt.Errorf("postern demo --once needs curl: install it (%w)", err)
	}
	failed := 0
	for i, step := range steps {
		fmt.Fprintf(out, "%2d. %s\n    $ %s\n", i+1, step.title, step.command())
		got := s.runStep(ctx, step)
		fmt.Fprint(out, got.text)
		if !got.ok {
			failed++
		}
	}
	if failed > 0 {
		fmt.Fprintf(out, "%d of %d commands misbehaved\n", failed, len(steps))
		return ErrMisbehaved
	}
	fmt.Fprintf(out, "all %d commands behaved\n", len(steps))
	return nil
}

type stepResult struct {
	ok   bool
	text string
}

func (s *site) runStep(ctx context.Context, step step) stepResult {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	before := s.connectionLines()
	cmd := exec.CommandContext(ctx, "curl", append(step.args, "-w", "\n%{http_code}")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run() // a refusal is an error of curl's; what it printed decides
	body, status := splitStatus(stdout.String())
	line := s.nextConnectionLine(ctx, before)

	var b strings.Builder
	answer := "status " + status
	if status == "000" {
		answer = "no answer: " + strings.TrimSpace(stderr.String())
	}
	fmt.Fprintf(&b, "    -> %s; connection log: %s\n       because %s\n", answer, verdictOf(line), step.why)
	problems := step.check(status, body, line)
	for _, p := range problems {
		fmt.Fprintf(&b, "    MISBEHAVED: %s\n", p)
	}
	return stepResult{len(problems) == 0, b.String()}
}

// check compares what came back with what should have.
func (s step) check(status, body, line string) []string {
	var problems []string
	if status != s.status {
		problems = append(problems, fmt.Sprintf("status %s, want %s", status, s.status))
	}
	if got := verdictOf(line); got != s.verdict {
		problems = append(problems, fmt.Sprintf("the connection log says %q, want %q", got, s.verdict))
	}
	for _, want := range s.has {
		if !strings.Contains(body, want) {
			problems = append(problems, fmt.Sprintf("the answer lacks %q: %s", want, body))
		}
	}
	for _, unwanted := range s.hasNot {
		if strings.Contains(body, unwanted) {
			problems = append(problems, fmt.Sprintf("the answer holds %q: %s", unwanted, body))
		}
	}
	return problems
}

func splitStatus(out string) (body, status string) {
	i := strings.LastIndexByte(out, '\n')
	return out[:max(i, 0)], out[i+1:]
}

// connectionLines counts the lines of the connection log.
func (s *site) connectionLines() int {
	data, _ := os.ReadFile(s.path("logs", "connection.log"))
	return bytes.Count(data, []byte("\n"))
}

// nextConnectionLine waits for the line after the first n.
func (s *site) nextConnectionLine(ctx context.Context, n int) string {
	deadline := time.Now().Add(logWait)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		data, _ := os.ReadFile(s.path("logs", "connection.log"))
		lines := strings.Split(string(data), "\n")
		if len(lines) > n+1 {
			return lines[n]
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ""
}

// verdictOf finds the field tls_verify_status: the last of ALB's words that is
// Success or a failure. The subject before it is quoted and may hold spaces.
func verdictOf(line string) string {
	for _, field := range strings.Fields(line[strings.LastIndexByte(line, '"')+1:]) {
		if field == "Success" || strings.HasPrefix(field, "Failed:") {
			return field
		}
	}
	return "nothing"
}
