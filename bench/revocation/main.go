// Command revocation measures how long open connections outlive the revocation of
// their certificates.
//
// It starts a Postern, opens many connections with many certificates, half of them
// HTTP/2, and has one request answered on each. Then it puts a new revocation list in
// the place of the old one, and takes the time from that moment, the watching, reading
// and parsing of the file included, to the end of each connection. A client whose
// certificate stays good goes on asking all the while, and its slowest answer is told.
//
//	go run ./bench/revocation                       # 10,000 connections, as many certificates
//	go run ./bench/revocation -clients 100 -entries 1000000
//	go run ./bench/revocation -bundle               # the CA is taken out of the bundle instead
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type options struct {
	binary               string
	connections, clients int
	entries              int
	bundle               bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "postern", "", "the `program`; default: it is built")
	flag.IntVar(&o.connections, "connections", 10_000, "open connections")
	flag.IntVar(&o.clients, "clients", 10_000, "certificates that they share")
	flag.IntVar(&o.entries, "entries", 0, "further entries of the new list")
	flag.BoolVar(&o.bundle, "bundle", false, "replace the bundle, not the list")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "postern-revocation-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newSite(dir, o)
	if err != nil {
		return err
	}
	pid, stop, err := s.start(o.binary)
	if err != nil {
		return err
	}
	defer stop()
	conns, err := s.open()
	if err != nil {
		return err
	}
	witness, err := s.watch()
	if err != nil {
		return err
	}
	ends := make([]time.Time, len(conns))
	var readers sync.WaitGroup
	for i, c := range conns {
		readers.Go(func() {
			io.Copy(io.Discard, c)
			ends[i] = time.Now()
		})
	}
	time.Sleep(time.Second) // quiet, before the change
	changed, before := time.Now(), cpu(pid)
	if err := s.change(); err != nil {
		return err
	}
	readers.Wait()
	report(o, changed, ends, witness.end())
	fmt.Printf("  %-14s %6.0f ms of CPU\n", "the server", float64((cpu(pid) - before).Milliseconds()))
	return nil
}

func report(o options, changed time.Time, ends []time.Time, slowest time.Duration) {
	took := make([]time.Duration, len(ends))
	for i, end := range ends {
		took[i] = end.Sub(changed)
	}
	slices.Sort(took)
	what := fmt.Sprintf("a list with %d more entries", o.entries)
	if o.bundle {
		what = "another bundle"
	}
	fmt.Printf("%d connections of %d certificates, %s\n", o.connections, o.clients, what)
	for _, q := range []struct {
		name string
		at   int
	}{{"first closed", 0}, {"half of them", len(took) / 2}, {"last closed", len(took) - 1}} {
		fmt.Printf("  %-14s %6.0f ms after the change\n", q.name, float64(took[q.at].Microseconds())/1000)
	}
	fmt.Printf("  %-14s %6.1f ms, the slowest answer to a client that stays\n", "meanwhile", float64(slowest.Microseconds())/1000)
}

// start runs the server until stop is called.
func (s *site) start(binary string) (pid int, stop func(), err error) {
	if binary == "" {
		binary = filepath.Join(s.dir, "postern")
		build := exec.Command("go", "build", "-o", binary, "./cmd/postern")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return 0, nil, fmt.Errorf("building postern: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, binary, "run", "--config", filepath.Join(s.dir, "postern.yaml"))
	log, err := os.Create(filepath.Join(s.dir, "postern.log"))
	if err != nil {
		cancel()
		return 0, nil, err
	}
	command.Stderr = log
	if err := command.Start(); err != nil {
		cancel()
		return 0, nil, err
	}
	stop = func() { cancel(); command.Wait(); log.Close() }
	for range 200 {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return command.Process.Pid, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	text, _ := os.ReadFile(log.Name())
	return 0, nil, fmt.Errorf("the server does not come up: %s", text)
}

// open makes the connections, a few at a time, and has a request answered on each.
func (s *site) open() ([]net.Conn, error) {
	conns := make([]net.Conn, s.connections)
	faults := make(chan error, 8)
	var workers sync.WaitGroup
	for w := range cap(faults) {
		workers.Go(func() {
			for i := w; i < len(conns); i += cap(faults) {
				var err error
				if conns[i], err = s.connect(s.clients[i%len(s.clients)], i%2 == 0); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	workers.Wait()
	close(faults)
	return conns, <-faults
}

// h2Request is the client's preface with empty SETTINGS, then GET / in literal header
// fields (RFC 9113, RFC 7541), END_STREAM and END_HEADERS.
const h2Request = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
	"\x00\x00\x0e\x01\x05\x00\x00\x00\x01" + "\x82\x84\x87" + "\x01\x09localhost"

func (s *site) connect(cert tls.Certificate, h2 bool) (net.Conn, error) {
	config := &tls.Config{RootCAs: s.roots, ServerName: "localhost", Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	if h2 {
		config.NextProtos = []string{"h2"}
	}
	c, err := tls.Dial("tcp", s.address, config)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	defer c.SetDeadline(time.Time{})
	if h2 {
		return c, askH2(c)
	}
	return c, ask(c)
}

func ask(c net.Conn) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	n, err := c.Read(buffer)
	if err == nil && !strings.HasPrefix(string(buffer[:n]), "HTTP/1.1 204") {
		err = fmt.Errorf("answered %.40q", buffer[:n])
	}
	return err
}

// askH2 waits for the frame that ends the answer: HEADERS with END_STREAM.
func askH2(c net.Conn) error {
	if _, err := io.WriteString(c, h2Request); err != nil {
		return err
	}
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return err
		}
		switch {
		case head[3] == 7:
			return errors.New("the server answers with GOAWAY")
		case head[3] == 1 && head[4]&1 != 0:
			return nil
		}
	}
}

// A witness is a client that stays.
type witness struct {
	stop, done chan struct{}
	slowest    time.Duration
}

// watch starts asking on a connection whose client is not revoked.
func (s *site) watch() (*witness, error) {
	c, err := s.connect(s.witness, false)
	if err != nil {
		return nil, err
	}
	w := &witness{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer c.Close()
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			begun := time.Now()
			if err := ask(c); err != nil {
				fmt.Fprintln(os.Stderr, "revocation: the client that stays:", err)
				return
			}
			w.slowest = max(w.slowest, time.Since(begun))
		}
	}()
	return w, nil
}

func (w *witness) end() time.Duration {
	close(w.stop)
	<-w.done
	return w.slowest
}

// cpu is the user and system time that a process has used, 0 if the system does not
// tell (proc(5), stat).
func cpu(pid int) time.Duration {
	const tick = 10 * time.Millisecond
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if err != nil || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}
