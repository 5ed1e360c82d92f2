package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/postern-lb/postern/internal/pki"
)

// patience bounds the wait for a load balancer to be ready.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postern": main})
}

// TestScripts runs testdata/*.txt with this test binary as the command postern.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"addresses": addresses,
			"appears":   appears,
			"certify":   certify,
			"exits":     exits,
			"expand":    expand,
			"hold":      hold,
			"ready":     ready,
			"signal":    send,
			"visit":     visit,
		},
	})
}

// exits CODE COMMAND... wants that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// signal NAME sends SIGNAME to every command in the background.
func send(ts *testscript.TestScript, _ bool, args []string) {
	number := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[0]]
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(number))
	}
}

// appears FILE TEXT waits until the file holds the text.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(data), args[1]) {
			return
		}
	}
	ts.Fatalf("%s does not hold %q after %v", args[0], args[1], patience)
}

// addresses NAME... sets each variable to an address that is free.
func addresses(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer ln.Close()
		ts.Setenv(name, ln.Addr().String())
	}
}

// expand FILE... replaces $NAME in files by the script's variables.
func expand(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// hold opens a connection to an address and leaves it open, silent.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.Dial("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { c.Close() })
}

// visit ADDRESS NAME... makes one request to a listener as each client, which must be
// answered with 200.
func visit(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		certificate, err := tls.LoadX509KeyPair(ts.MkAbs(name+".pem"), ts.MkAbs(name+"-key.pem"))
		ts.Check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ts.ReadFile("root.pem")))
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{certificate},
		}}
		resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://" + args[0] + "/")
		ts.Check(err)
		resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.StatusCode != http.StatusOK {
			ts.Fatalf("%s: status %d", name, resp.StatusCode)
		}
	}
}

// ready waits until the load balancer at $ADMIN says that it is; with ! until it
// says that it is not, because it drains.
func ready(ts *testscript.TestScript, not bool, _ []string) {
	want := http.StatusOK
	if not {
		want = http.StatusServiceUnavailable
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + ts.Getenv("ADMIN") + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == want {
			return
		}
	}
	ts.Fatalf("/readyz has not answered %d after %v", want, patience)
}

// certify sets NEXTMONTH, and writes a root, an intermediate, a server and clients: alice is good, bob
// revoked, carol expired and mallory another root's.
func certify(ts *testscript.TestScript, _ bool, _ []string) {
	root, stranger := pki.NewRoot("Root"), pki.NewRoot("Stranger")
	ca := root.Intermediate("CA")
	ts.Setenv("NEXTMONTH", time.Now().AddDate(0, 0, 30).Format(time.RFC3339))
	alice, bob, server := ca.Client("alice"), ca.Client("bob"), ca.Server("localhost", "127.0.0.1")
	for name, data := range map[string][]byte{
		"root.pem": root.PEM(), "bundle.pem": append(root.PEM(), ca.PEM()...),
		"partners.crl": ca.CRL(1, bob), "stranger.crl": stranger.CRL(1), "root.crl": pki.CRLPEM(root.CRL(1)),
		"server.pem": server.ChainPEM(), "server-key.pem": server.KeyPEM(),
		"alice.pem": alice.ChainPEM(), "bob.pem": bob.ChainPEM(),
		"carol.pem": ca.Client("carol", pki.Expired).ChainPEM(), "mallory.pem": stranger.Client("alice").ChainPEM(),
		"empty": nil, "noise": {0x30, 0x82, 0},
		"alice-key.pem": alice.KeyPEM(), "bob-key.pem": bob.KeyPEM(), "no.crl": ca.CRL(1), "stranger.pem": stranger.PEM(),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
	}
}
