package listener

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The frontend is a socket of the test's that haproxy inherits, so that no port
// is guessed.
const haproxyConfig = `
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend in
  bind fd@3
  unique-id-format %ci-%cp
  default_backend out
backend out
  server postern BACKEND send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 200ms
`

// haproxy announces its clients with TLVs and a checksum of its own making,
// carries their traffic both ways, and sends LOCAL for its health checks.
func TestProxyProtocolFromHAProxy(t *testing.T) {
	front, backend := localListener(t), localListener(t)
	startHAProxy(t, front, strings.Replace(haproxyConfig, "BACKEND", backend.Addr().String(), 1))

	client, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "to the server"); err != nil {
		t.Fatal(err)
	}

	p := requireFrom(t, 5*time.Second, "127.0.0.0/8")
	carried, checked := false, false
	for !carried || !checked {
		raw, err := backend.Accept()
		if err != nil {
			t.Fatalf("accepting (client seen: %v, health check seen: %v): %v", carried, checked, err)
		}
		conn, info, err := p.Accept(raw)
		if err != nil {
			t.Fatal(err)
		}
		if info.Local {
			checked = true
			raw.Close()
			continue
		}
		want := ProxyInfo{
			Source:      netip.MustParseAddrPort(client.LocalAddr().String()),
			Destination: netip.MustParseAddrPort(front.Addr().String()),
		}
		if info != want || conn.RemoteAddr().String() != client.LocalAddr().String() {
			t.Errorf("got %+v, want %+v", info, want)
		}
		expectRest(t, conn, "to the server")
		if _, err := io.WriteString(conn, "to the client"); err != nil {
			t.Fatal(err)
		}
		expectRest(t, client, "to the client")
		carried = true
		conn.Close()
	}
}

// localListener is closed with the test, and gives up accepting before the test
// would hang.
func localListener(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	tcp := ln.(*net.TCPListener)
	if err := tcp.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// startHAProxy runs haproxy until the test ends; it skips the test if there is
// none.
func startHAProxy(t *testing.T, front *net.TCPListener, config string) {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	inherited, err := front.File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-db", "-f", file)
	cmd.ExtraFiles = []*os.File{inherited}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("haproxy said:\n%s", output.String())
		}
	})
}
