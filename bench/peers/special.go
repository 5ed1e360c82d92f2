package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/postern-lb/postern/bench"
)

// settle is how long a server gets before its memory is read.
const settle = 5 * time.Second

// idleMemory returns the KB that each of many connections costs, each of which
// has had one answer. The server is a new one: another may use again what it had before.
func idleMemory(ctx context.Context, r *running, o *options) (float64, error) {
	return again(ctx, r, setups[1], func(n *running, _ time.Duration) (float64, error) { return n.idleMemory(ctx, o) })
}

func (r *running) idleMemory(ctx context.Context, o *options) (float64, error) {
	before, _, err := bench.TreeMemory(r.pid())
	if err != nil {
		return 0, err
	}
	pair, err := tls.LoadX509KeyPair(r.site.file("client-2.pem"), r.site.file("client-2-key.pem"))
	if err != nil {
		return 0, err
	}
	// The server was verified by ready; 10,000 times more would only take time.
	config := &tls.Config{
		ServerName: "localhost", InsecureSkipVerify: true, MinVersion: tls13, CurvePreferences: x25519Only,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range o.idle {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		c, err := idleConnection(r.address, config, i)
		if err != nil {
			return 0, fmt.Errorf("connection %d: %w", i, err)
		}
		open = append(open, c)
	}
	time.Sleep(settle)
	after, _, err := bench.TreeMemory(r.pid())
	return float64(after-before) / 1024 / float64(o.idle), err
}

// idleConnection has a local address of its own for each 5,000, so that no range of
// ports is too small.
func idleConnection(address string, config *tls.Config, i int) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/5000))}}
	tcp, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = tcp.(*net.TCPConn).SetLinger(0) // leave no port in TIME_WAIT
	_ = tcp.SetDeadline(time.Now().Add(patience))
	c := tls.Client(tcp, config)
	if _, err := c.Write([]byte("GET /128 HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		tcp.Close()
		return nil, err
	}
	var answer [4096]byte
	if n, err := c.Read(answer[:]); err != nil || n < 12 || string(answer[9:12]) != "200" {
		tcp.Close()
		return nil, fmt.Errorf("answer %q: %w", answer[:n], err)
	}
	return c, nil
}

// again starts a second instance of the server beside the first and returns what
// of says, of it and of the time until its first answer.
func again(ctx context.Context, r *running, set setup, of func(n *running, took time.Duration) (float64, error)) (float64, error) {
	began := time.Now()
	second := r.server
	second.label += "-start"
	n, err := r.site.start(ctx, second, set)
	if err != nil {
		return 0, err
	}
	defer n.stop()
	if err := n.ready(ctx); err != nil {
		return 0, err
	}
	return of(n, time.Since(began))
}

func startSeconds(ctx context.Context, r *running, _ *options) (float64, error) {
	return again(ctx, r, setups[3], func(_ *running, took time.Duration) (float64, error) { return took.Seconds(), nil })
}

func startMemory(ctx context.Context, r *running, _ *options) (float64, error) {
	return again(ctx, r, setups[3], func(n *running, _ time.Duration) (float64, error) {
		resident, _, err := bench.TreeMemory(n.pid())
		return float64(resident) / (1 << 20), err
	})
}

func startPeak(ctx context.Context, r *running, _ *options) (float64, error) {
	return again(ctx, r, setups[3], func(n *running, _ time.Duration) (float64, error) {
		_, peak, err := bench.TreeMemory(n.pid())
		return float64(peak) / (1 << 20), err
	})
}

// The load during a reload: its window begins before it and outlasts it.
const (
	reloadRate   = 2000
	reloadAfter  = 500 * time.Millisecond
	reloadWindow = 6 * time.Second
)

// reload returns the longest request, in ms, while the server reads another CRL of the
// same size. A request that is lost is an error.
func reload(ctx context.Context, r *running, _ *options) (float64, error) {
	told := make(chan error, 1)
	timer := time.AfterFunc(warmup+reloadAfter, func() {
		err := r.site.renewCRLs("1m")
		told <- errors.Join(err, r.kind.reload(r.pid(), r.file))
	})
	defer timer.Stop()
	report, err := bench.Request(ctx, bench.RequestConfig{
		URL: "https://" + r.address + "/128", Client: r.site.client(2),
		Load: bench.Load{Connections: 4, Rate: reloadRate, Warmup: warmup, Duration: reloadWindow},
	})
	if err != nil {
		return 0, err
	}
	if err := <-told; err != nil {
		return 0, fmt.Errorf("telling the server to reload: %w", err)
	}
	return counted(&report.Result, func(r *bench.Result) float64 { return r.Latency.Max / 1000 })
}

// renewCRLs puts the other list of a size in place, which a server that remembers what
// it has read must read too.
func (s *site) renewCRLs(size string) error {
	for _, name := range []string{"sub-", "all-"} {
		file := s.file(name + size + ".crl")
		if err := exchange(file, file+".next"); err != nil {
			return fmt.Errorf("renewing CRLs: %w", err)
		}
	}
	return nil
}

// exchange lets two files change names.
func exchange(a, b string) error {
	for _, step := range [][2]string{{a, a + ".old"}, {b, a}, {a + ".old", b}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}
