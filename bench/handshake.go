package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/postern-lb/postern/internal/fault"
)

// A HandshakeConfig describes one run of [Handshake].
type HandshakeConfig struct {
	// Address is the host and port of the server.
	Address string
	Client  Client
	Load    Load

	// Resume is the share of handshakes, from 0 to 1, that offer the session of the
	// same client's last one. Each client makes its first, full handshake before
	// the window opens; the report says how many of those counted were resumed.
	Resume float64
	// TinyGET makes each connection carry one GET of Path and counts it when a
	// 2xx or 3xx answer has been read to its end. Without it the client closes
	// the TLS session after its last handshake message and waits for the server to close.
	TinyGET bool
	// Path is what TinyGET and the proof ask for. Default "/".
	Path string
	// NoProof leaves out the GET that each worker makes first to prove that the
	// server admits its client. For a server that speaks no HTTP/1.1.
	NoProof bool
}

// Check returns every fault of the configuration as a [fault.List], or nil.
func (c *HandshakeConfig) Check() error {
	var faults fault.List
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		faults.Add("address", "%q is no host and port: %v", c.Address, err)
	}
	if !(c.Resume >= 0 && c.Resume <= 1) {
		faults.Add("resume", "%v is no share from 0 to 1", c.Resume)
	}
	c.Client.check(&faults)
	c.Load.withDefaults().check(&faults)
	return faults.Err()
}

// Handshake opens TLS connections, one after another on each of
// Load.Connections workers, and measures them. With a Rate each is due at its
// time and latency runs from then.
//
// In TLS 1.3 the client is done before the server has looked at its certificate
// (RFC 8446, section 2), so the client's own idea of success counts for nothing.
// A handshake is counted when the server has shown that it came to the end: by
// closing after the client's close_notify, which it can only read with the keys
// of a finished handshake, or by the answer to a GET.
//
// Without a Rate latency runs from the TCP connect to that sign. Every connection is reset by
// the client once it is over (SO_LINGER 0), so that neither side keeps it in
// TIME_WAIT: a run holds at most Load.Connections ephemeral ports.
//
// The error is of kind [fault.List] for a bad configuration, names the file that
// could not be read, or says that the proof was refused, the context was done or
// the server's CPU time could not be read. Refusals during the window are
// no error: the report counts them.
func Handshake(ctx context.Context, c HandshakeConfig) (*HandshakeReport, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	load := c.Load.withDefaults()
	d, err := newDialer(&c.Client, c.Address, load.Timeout)
	if err != nil {
		return nil, err
	}
	workers := make([]*handshaker, load.Connections)
	for id := range workers {
		workers[id] = newHandshaker(&c, d, id, load.Connections)
		if err := workers[id].prepare(ctx, &c); err != nil {
			return nil, err
		}
	}
	rounds, err := load.run(ctx, func(ctx context.Context, id int, p *pacer, r *recorder) {
		workers[id].work(ctx, p, r)
	})
	if err != nil {
		return nil, err
	}
	result, out := load.result(rounds)
	report := &HandshakeReport{
		Result:     result,
		Resumed:    out.resumed,
		Negotiated: describe(workers[0].state),
		Clients:    max(c.Client.NewClients, 1),
		Completion: "server close",
	}
	if c.TinyGET {
		report.Completion = "answer to a GET"
	}
	return report, nil
}

// A handshaker is one worker. Only its own goroutine uses it.
type handshaker struct {
	dialer  *dialer
	full    []*tls.Config // one a client, used in turn; they offer no session
	resume  []*tls.Config // the same clients, offering one; nil if none is to
	share   float64       // of handshakes that resume
	debt    float64       // of resumed handshakes, carried from one to the next
	next    int
	request []byte // nil: close instead
	buffer  [4096]byte
	state   tls.ConnectionState // of the last handshake of prepare
}

func newHandshaker(c *HandshakeConfig, d *dialer, id, workers int) *handshaker {
	h := &handshaker{dialer: d, full: d.configs(id, workers, false), share: c.Resume}
	if c.Resume > 0 {
		h.resume = d.configs(id, workers, true)
	}
	if c.TinyGET {
		h.request = tinyGET(c, d)
	}
	return h
}

func tinyGET(c *HandshakeConfig, d *dialer) []byte {
	path := c.Path
	if path == "" {
		path = "/"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, d.template.ServerName)
}

// prepare proves that the server admits the worker's first client, and gets a
// session for each client if the run resumes.
func (h *handshaker) prepare(ctx context.Context, c *HandshakeConfig) error {
	proof := h.request
	if !c.NoProof {
		proof = tinyGET(c, h.dialer)
	}
	configs := h.resume
	if configs == nil {
		configs = h.full[:1]
	}
	for _, config := range configs {
		if ctx.Err() != nil {
			return fmt.Errorf("preparing: %w", context.Cause(ctx))
		}
		state, err := h.connect(config, proof)
		if err != nil {
			return fmt.Errorf("proving that the server admits the client: %w", err)
		}
		h.state = state
		proof = h.request
	}
	return nil
}

// retryPause keeps a worker whose server is gone from spinning.
const retryPause = time.Millisecond

func (h *handshaker) work(ctx context.Context, p *pacer, r *recorder) {
	for r.running(ctx) {
		due, lag, ok := p.next(ctx)
		if !ok {
			return
		}
		state, err := h.connect(h.config(), h.request)
		if err != nil {
			r.failed(err)
			time.Sleep(retryPause)
			continue
		}
		r.done(sample{latency: time.Since(due), lag: lag, resumed: state.DidResume})
	}
}

// config returns the next client. Resumed handshakes are spread evenly among the
// others, the same way in each run.
func (h *handshaker) config() *tls.Config {
	i := h.next
	h.next = (i + 1) % len(h.full)
	h.debt += h.share
	if h.debt < 1 {
		return h.full[i]
	}
	h.debt--
	return h.resume[i]
}

// connect makes one connection and waits until the server has finished with it.
func (h *handshaker) connect(config *tls.Config, request []byte) (tls.ConnectionState, error) {
	tcp, err := h.dialer.dial()
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer reset(tcp)
	conn := tls.Client(tcp, config)
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	if request == nil {
		err = h.closed(conn)
	} else {
		err = h.answered(conn, request)
	}
	return conn.ConnectionState(), err
}

// reset closes without TIME_WAIT. Both sides have said all they had to say.
func reset(tcp *net.TCPConn) {
	_ = tcp.SetLinger(0) // at worst the port stays in TIME_WAIT
	_ = tcp.Close()
}

// closed ends the session and reads until the server has done so too. Session
// tickets arrive on the way and are taken in by crypto/tls.
func (h *handshaker) closed(conn *tls.Conn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	for {
		n, err := conn.Read(h.buffer[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			return protocolError("server sent data that nobody asked for")
		}
	}
}

// answered sends the request and reads the answer to its end, which is that of
// the session.
func (h *handshaker) answered(conn *tls.Conn, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	n, err := io.ReadAtLeast(conn, h.buffer[:], len("HTTP/1.1 200"))
	if err != nil {
		return err
	}
	if err := checkStatus(h.buffer[:n]); err != nil {
		return err
	}
	for err == nil {
		_, err = conn.Read(h.buffer[:])
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// checkStatus reads the status line of an HTTP/1.1 answer (RFC 9112, section 4).
func checkStatus(answer []byte) error {
	if len(answer) < 12 || !bytes.HasPrefix(answer, []byte("HTTP/1.")) || answer[8] != ' ' {
		return protocolError(fmt.Sprintf("answer begins with %q, no HTTP/1 status line", answer[:min(len(answer), 16)]))
	}
	status := 0
	for _, digit := range answer[9:12] {
		if digit < '0' || digit > '9' {
			return protocolError(fmt.Sprintf("status %q is no number", answer[9:12]))
		}
		status = 10*status + int(digit-'0')
	}
	if status < 200 || status > 399 {
		return statusError(status)
	}
	return nil
}

// describe says what was negotiated, as "TLS 1.3 TLS_AES_128_GCM_SHA256 X25519".
func describe(s tls.ConnectionState) string {
	return fmt.Sprintf("%s %s %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID)
}
