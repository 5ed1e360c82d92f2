package bench_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/bench"
	"github.com/postern-lb/postern/internal/fault"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// client is who the server lets in.
func (s *testServer) client() bench.Client {
	return bench.Client{
		CAFile: s.file("root.pem"), CertFile: s.file("client.pem"), KeyFile: s.file("client-key.pem"),
		Curves: []tls.CurveID{tls.X25519},
	}
}

// exactly is a load of n attempts on two workers, all of them counted.
func exactly(n int) bench.Load {
	return bench.Load{Connections: 2, Count: n, Warmup: -1, Duration: 20 * time.Second}
}

func handshake(t *testing.T, c bench.HandshakeConfig) *bench.HandshakeReport {
	t.Helper()
	report, err := bench.Handshake(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestHandshakeCountsWhatTheServerFinished(t *testing.T) {
	const count, proofs, workers = 60, 2, 2
	for _, tt := range []struct {
		name             string
		tiny, resume     bool
		version          uint16
		requests         int64 // at most: those of the attempts and the proofs
		resumed          uint64
		completion, want string
	}{
		{"close", false, false, 0, proofs, 0, "server close", "TLS 1.3 TLS_AES_128_GCM_SHA256 X25519"},
		{"get", true, false, 0, count + proofs + workers, 0, "answer to a GET", "TLS 1.3"},
		{"resume", false, true, 0, proofs, count, "server close", "TLS 1.3"},
		{"resume 1.2", false, true, tls.VersionTLS12, proofs, count, "server close", "TLS 1.2"},
		{"get 1.2", true, false, tls.VersionTLS12, count + proofs + workers, 0, "answer to a GET", "TLS 1.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, answer(200, 10))
			c := bench.HandshakeConfig{
				Address: s.address, Client: s.client(), Load: exactly(count), TinyGET: tt.tiny, Resume: share(tt.resume),
			}
			c.Client.MaxVersion = tt.version
			r := handshake(t, c)
			if r.Completed != count || r.Failed != 0 {
				t.Errorf("completed %d and failed %d, want %d and 0: %v", r.Completed, r.Failed, count, r.Errors)
			}
			// Each worker may be within one more attempt when the window closes.
			if got := s.handshakes.Load(); got < count+proofs || got > count+proofs+workers {
				t.Errorf("server finished %d handshakes, want %d to %d", got, count+proofs, count+proofs+workers)
			}
			if got := s.requests.Load(); got > tt.requests {
				t.Errorf("server saw %d requests, want at most %d", got, tt.requests)
			}
			if r.Resumed != tt.resumed {
				t.Errorf("resumed %d, want %d", r.Resumed, tt.resumed)
			}
			if r.Completion != tt.completion || !strings.HasPrefix(r.Negotiated, tt.want) {
				t.Errorf("reported %q and %q, want %q and %q", r.Completion, r.Negotiated, tt.completion, tt.want)
			}
			if l := r.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max {
				t.Errorf("percentiles out of order: %+v", l)
			}
		})
	}
}

func share(resume bool) float64 {
	if resume {
		return 1
	}
	return 0
}

func TestHandshakeMixesFullAndResumed(t *testing.T) {
	s := startServer(t, answer(204, 0))
	r := handshake(t, bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(80), Resume: 0.25})
	// Each of the two workers resumes every fourth of its own.
	if r.Completed != 80 || r.Resumed < 19 || r.Resumed > 21 {
		t.Errorf("resumed %d of %d, want a quarter", r.Resumed, r.Completed)
	}
}

func TestHandshakeRounds(t *testing.T) {
	s := startServer(t, answer(204, 0))
	c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(10)}
	c.Load.Rounds, c.Load.Labels = 3, map[string]string{"crl": "10k"}
	r := handshake(t, c)
	if len(r.Rounds) != 3 || r.Completed != 30 || r.Rounds[2].Completed != 10 || r.Labels["crl"] != "10k" {
		t.Errorf("%d completed in rounds %+v, labels %v", r.Completed, r.Rounds, r.Labels)
	}
}

func TestHandshakeMakesClients(t *testing.T) {
	for _, tt := range []struct {
		key    string
		length int
		issuer string
	}{{"rsa-2048", 2, "sub"}, {"ed25519", 4, "sub"}, {"ecdsa-p256", 0, "sub"}} {
		var chain atomic.Pointer[[]*x509.Certificate]
		s := startServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { chain.Store(&r.TLS.PeerCertificates) }))
		c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(4)}
		c.Client.CertFile, c.Client.KeyFile = "", ""
		c.Client.NewClients, c.Client.IssuerFile, c.Client.IssuerKeyFile = 2, s.file("sub.pem"), s.file("sub-key.pem")
		c.Client.KeyType, c.Client.ChainLength = tt.key, tt.length
		handshake(t, c)
		got := *chain.Load()
		if want := max(tt.length, 2); len(got) != want || !strings.HasPrefix(tt.key, strings.ToLower(got[0].PublicKeyAlgorithm.String())) {
			t.Errorf("%+v: the server saw %d certificates, key %v", tt, len(got), got[0].PublicKeyAlgorithm)
		}
	}
}

func TestHandshakeEndsWithItsDuration(t *testing.T) {
	s := startServer(t, answer(204, 0))
	start := time.Now()
	r := handshake(t, bench.HandshakeConfig{
		Address: s.address, Client: s.client(),
		Load: bench.Load{Connections: 2, Warmup: 100 * time.Millisecond, Duration: 300 * time.Millisecond},
	})
	if r.Completed == 0 || r.Seconds < 0.3 || time.Since(start) > 5*time.Second {
		t.Errorf("%d completed in a window of %v s, run of %v", r.Completed, r.Seconds, time.Since(start))
	}
	if counted := int64(r.Completed); counted >= s.handshakes.Load()-2 {
		t.Errorf("counted %d of %d handshakes: the warm-up was counted too", counted, s.handshakes.Load())
	}
	if want := float64(r.Completed) / r.Seconds; r.PerSecond != want {
		t.Errorf("rate %v, want %v", r.PerSecond, want)
	}
}

func TestHandshakeRotatesThroughNewClients(t *testing.T) {
	s := startServer(t, answer(204, 0))
	c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(40)}
	c.Client.CertFile, c.Client.KeyFile = "", ""
	c.Client.NewClients, c.Client.IssuerFile, c.Client.IssuerKeyFile = 7, s.file("sub.pem"), s.file("sub-key.pem")
	r := handshake(t, c)
	if r.Completed != 40 || r.Clients != 7 {
		t.Errorf("completed %d with %d clients, want 40 with 7: %v", r.Completed, r.Clients, r.Errors)
	}
	if seen := *s.clients.Load(); len(seen) != 7 {
		t.Errorf("server saw %d clients, want 7: %v", len(seen), seen)
	}
}

func TestHandshakeCountsRefusals(t *testing.T) {
	s := startServer(t, answer(204, 0))
	c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(10), NoProof: true}
	c.Client.CertFile, c.Client.KeyFile = s.file("stranger.pem"), s.file("stranger-key.pem")
	_, err := bench.Handshake(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "proving that the server admits the client") {
		t.Errorf("a client that is never admitted gave %v", err)
	}
}

// refuseAfter serves the first n connections and resets all that follow.
func refuseAfter(t *testing.T, s *testServer, n int) string {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := front.Accept()
			if err != nil {
				return
			}
			if i >= n {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
				continue
			}
			go splice(conn, s.address)
		}
	}()
	return front.Addr().String()
}

func splice(conn net.Conn, address string) {
	back, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(back, conn)
		back.Close()
	}()
	_, _ = io.Copy(conn, back)
	conn.Close()
}

func TestHandshakeCountsErrorsByKind(t *testing.T) {
	s := startServer(t, answer(204, 0))
	c := bench.HandshakeConfig{Address: refuseAfter(t, s, 12), Client: s.client(), Load: exactly(30)}
	r := handshake(t, c)
	if r.Completed != 10 || r.Failed != 20 {
		t.Errorf("completed %d and failed %d, want 10 and 20", r.Completed, r.Failed)
	}
	if len(r.Errors) != 1 || r.Errors[0].Kind != bench.KindReset || r.Errors[0].First == "" {
		t.Errorf("errors %+v, want 20 of kind %q", r.Errors, bench.KindReset)
	}
}

func TestHandshakeCountsStatuses(t *testing.T) {
	s := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(10), TinyGET: true}
	if _, err := bench.Handshake(t.Context(), c); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("proof with status 503 gave %v", err)
	}
}

func TestHandshakeRefusesAnotherServer(t *testing.T) {
	s := startServer(t, answer(204, 0))
	for name, change := range map[string]func(*bench.Client){
		"CA":   func(c *bench.Client) { c.CAFile = s.file("stranger.pem") },
		"name": func(c *bench.Client) { c.ServerName = "other.example" },
	} {
		c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(10)}
		change(&c.Client)
		_, err := bench.Handshake(t.Context(), c)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestHandshakeTimesOut(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := bench.HandshakeConfig{Address: silent.Addr().String(), Load: exactly(1)}
	c.Load.Timeout = 50 * time.Millisecond
	start := time.Now()
	if _, err := bench.Handshake(t.Context(), c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent server gave %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestHandshakeStopsWithItsContext(t *testing.T) {
	s := startServer(t, answer(204, 0))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("enough"))
	defer cancel()
	c := bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: bench.Load{Duration: time.Minute}}
	if _, err := bench.Handshake(ctx, c); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("got %v", err)
	}
}

func TestHandshakeLeavesNoPortBehind(t *testing.T) {
	s := startServer(t, answer(204, 0))
	handshake(t, bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: exactly(50)})
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("this system has no /proc/net/tcp to look for waiting sockets in")
	}
	_, port, _ := net.SplitHostPort(s.address)
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	const timeWait = " 06 "
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, fmt.Sprintf(":%04X", number)) && strings.Contains(line, timeWait) {
			t.Fatalf("socket in TIME_WAIT: %s", line)
		}
	}
}

func TestCheckNamesEveryFault(t *testing.T) {
	c := bench.HandshakeConfig{
		Address: "nowhere",
		Client:  bench.Client{CertFile: "a.pem", NewClients: bench.MaxNewClients + 1, MaxVersion: 0x0301},
		Load: bench.Load{
			Connections: bench.MaxConnections + 1, Warmup: bench.MaxWarmup + 1, Duration: bench.MaxDuration + 1,
			Count: bench.MaxCount + 1, Timeout: bench.MaxTimeout + 1, ServerPID: -1,
		},
	}
	_, err := bench.Handshake(t.Context(), c)
	found := map[string]bool{}
	for _, f := range fault.All(err) {
		found[f.Path] = true
	}
	for _, path := range []string{
		"address", "new_clients", "cert_file", "issuer_file", "max_version",
		"connections", "warmup", "duration", "count", "timeout", "server_pid",
	} {
		if !found[path] {
			t.Errorf("no fault at %s in:\n%v", path, err)
		}
	}
}

func TestReportPrints(t *testing.T) {
	r := &bench.HandshakeReport{
		Result: bench.Result{
			Connections: 4, Seconds: 2, Completed: 10, PerSecond: 5, Failed: 3, ServerCPU: 250, ServerBusy: 0.5,
			Latency: bench.Latency{P50: 1500}, Errors: []bench.ErrorCount{{Kind: "timeout", Count: 3, First: "i/o timeout"}},
		},
		Negotiated: "TLS 1.3",
	}
	var text, object bytes.Buffer
	if err := errors.Join(r.WriteTable(&text), r.WriteJSON(&object)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10 in 2.00 s", "5/s", "p50 1.5ms", "250.0 µs each, 50 % of a core", "3, first: i/o timeout"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	var back bench.HandshakeReport
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Completed != 10 || back.Errors[0].Count != 3 {
		t.Errorf("JSON gave back %+v, %v", back, err)
	}
}

func TestHandshakeReadsTheServersCPU(t *testing.T) {
	if _, err := bench.TreeCPU(os.Getpid()); err != nil {
		t.Skip("this system has no /proc")
	}
	s := startServer(t, answer(204, 0))
	c := bench.HandshakeConfig{Address: s.address, Client: s.client()}
	c.Load = bench.Load{Connections: 2, Warmup: -1, Duration: 500 * time.Millisecond, ServerPID: os.Getpid()}
	r := handshake(t, c)
	spent := r.ServerCPU * float64(r.Completed) / 1e6
	// The server is this process, so server and generator read the same clock.
	if r.ServerBusy <= 0 || math.Abs(spent-r.ServerBusy*r.Seconds) > 0.001 || math.Abs(r.ServerBusy-r.GeneratorBusy) > 0.3 {
		t.Errorf("%v µs each for %d in %v s, server busy %v, generator busy %v",
			r.ServerCPU, r.Completed, r.Seconds, r.ServerBusy, r.GeneratorBusy)
	}
	c.Load.ServerPID = 1 << 30
	if _, err := bench.Handshake(t.Context(), c); err == nil || !strings.Contains(err.Error(), "reading CPU time of process") {
		t.Errorf("a server that is not there gave %v", err)
	}
}
