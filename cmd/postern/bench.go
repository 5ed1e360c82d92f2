package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postern-lb/postern/bench"
)

type benchCommand struct {
	Handshake benchHandshake `cmd:"" help:"Full or resumed TLS handshakes a second."`
	Request   benchRequest   `cmd:"" aliases:"requests" help:"Requests a second."`
}

// benchFlags are those that both measurements have.
type benchFlags struct {
	CAFile     string   `name:"ca" type:"path" placeholder:"FILE" help:"Certificates that the server's must lead to. Default: the system's."`
	CertFile   string   `name:"cert" type:"path" placeholder:"FILE" help:"The client's certificates, PEM, leaf first."`
	KeyFile    string   `name:"key" type:"path" placeholder:"FILE" help:"The client's key, PEM."`
	Clients    int      `help:"Make so many clients below --issuer and take turns."`
	Issuer     string   `type:"path" placeholder:"FILE" help:"CA of the clients to make, PEM, with any intermediates above it."`
	IssuerKey  string   `type:"path" placeholder:"FILE" help:"Its key, PEM."`
	KeyType    string   `name:"client-key-type" placeholder:"TYPE" help:"Key of the clients to make: ecdsa-p256 (default), rsa-2048, ed25519."`
	Chain      int      `name:"chain-length" help:"Certificates that each of them presents; intermediates are made."`
	ServerName string   `placeholder:"NAME" help:"Server name to ask for. Default: the host of the address."`
	TLS        string   `name:"tls" placeholder:"1.2|1.3" help:"Offer this version only."`
	Curves     []string `placeholder:"NAME,..." help:"Key agreements to offer: x25519mlkem768, x25519, p-256, p-384, p-521."`

	Connections int               `default:"16" help:"Connections at a time."`
	Rate        float64           `help:"Attempts a second in all, each due at its time; 0: as fast as the answers come."`
	Warmup      time.Duration     `default:"500ms" help:"Before each window, not counted."`
	Duration    time.Duration     `default:"5s" help:"Length of the measured window."`
	Count       int               `help:"End the window after so many attempts."`
	Rounds      int               `default:"1" help:"Windows to measure."`
	Timeout     time.Duration     `default:"5s" help:"Bound on one handshake or answer."`
	ServerPID   int               `name:"server-pid" help:"Also read the CPU time of this process and its children (Linux)."`
	Label       map[string]string `placeholder:"KEY=VALUE" help:"Say something of the server in the report, such as crl=10000."`

	JSON     bool   `name:"json" help:"Print one JSON object."`
	HTML     string `name:"html" type:"path" placeholder:"FILE" help:"Also write a report with plots."`
	Progress bool   `help:"Show progress even if standard error is no terminal."`
}

func (f *benchFlags) client() (bench.Client, error) {
	c := bench.Client{
		ServerName: f.ServerName, CAFile: f.CAFile, CertFile: f.CertFile, KeyFile: f.KeyFile,
		NewClients: f.Clients, IssuerFile: f.Issuer, IssuerKeyFile: f.IssuerKey, KeyType: f.KeyType, ChainLength: f.Chain,
	}
	switch f.TLS {
	case "":
	case "1.2":
		c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	default:
		return c, unusable{fmt.Errorf("--tls %q: there are 1.2 and 1.3", f.TLS)}
	}
	for _, name := range f.Curves {
		curve, ok := map[string]tls.CurveID{
			"x25519mlkem768": tls.X25519MLKEM768, "x25519": tls.X25519,
			"p-256": tls.CurveP256, "p-384": tls.CurveP384, "p-521": tls.CurveP521,
		}[strings.ToLower(name)]
		if !ok {
			return c, unusable{fmt.Errorf("--curves %q: there are x25519mlkem768, x25519, p-256, p-384 and p-521", name)}
		}
		c.Curves = append(c.Curves, curve)
	}
	return c, nil
}

func (f *benchFlags) load(s *streams) bench.Load {
	l := bench.Load{
		Connections: f.Connections, Rate: f.Rate, Warmup: f.Warmup, Duration: f.Duration, Count: f.Count,
		Rounds: f.Rounds, Timeout: f.Timeout, ServerPID: f.ServerPID, Labels: f.Label,
	}
	if l.Warmup == 0 {
		l.Warmup = -1
	}
	if l.Count > 0 && l.Duration == bench.DefaultDuration {
		l.Duration = 0 // the count is to end the window
	}
	if f.Progress || isTerminal(s.stderr) {
		l.Progress = func(p bench.Progress) { showProgress(s.stderr, p) }
	}
	return l
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// showProgress writes over its last line.
func showProgress(w io.Writer, p bench.Progress) {
	phase := "measuring"
	if p.Warming {
		phase = "warming up"
	}
	fmt.Fprintf(w, "\r\x1b[Kround %d/%d, %s %.1f of %v: %d done, %d failed, %.0f/s\r",
		p.Round, p.Rounds, phase, p.Elapsed.Seconds(), p.Of, p.Completed, p.Failed, p.PerSecond)
}

type benchHandshake struct {
	benchFlags
	Resume      bool    `xor:"resume" help:"Resume the session of the last handshake."`
	ResumeShare float64 `xor:"resume" help:"Resume this share of them, 0 to 1."`
	Get         bool    `help:"Send one GET on each connection and read the answer."`
	Path        string  `default:"/" help:"What that GET, and the proof before the run, ask for."`
	NoProof     bool    `help:"Do not first ask for an answer; for a server that speaks no HTTP/1.1."`
	Address     string  `arg:"" placeholder:"HOST:PORT" help:"The server."`
}

// Run measures handshakes.
func (c *benchHandshake) Run(s *streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	cfg := bench.HandshakeConfig{
		Address: c.Address, Client: client, Load: c.load(s),
		Resume: c.ResumeShare, TinyGET: c.Get, Path: c.Path, NoProof: c.NoProof,
	}
	if c.Resume {
		cfg.Resume = 1
	}
	if err := cfg.Check(); err != nil {
		return unusable{err}
	}
	report, err := bench.Handshake(s.ctx, cfg)
	if err != nil {
		return err
	}
	return c.write(s, report)
}

type benchRequest struct {
	benchFlags
	HTTP2       bool   `name:"http2" help:"Speak HTTP/2."`
	Streams     int    `placeholder:"10" help:"Requests in flight on each HTTP/2 connection."`
	NoKeepAlive bool   `help:"Make a connection for each request."`
	Method      string `help:"Default: GET, or POST with a body."`
	BodySize    int    `help:"Bytes of each request's body."`
	AnswerSize  int    `help:"Bytes that each answer's body must have."`
	URL         string `arg:"" help:"What to ask for."`
}

// Run measures requests.
func (c *benchRequest) Run(s *streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	cfg := bench.RequestConfig{
		URL: c.URL, Client: client, Load: c.load(s), HTTP2: c.HTTP2, Streams: c.Streams, NewConnections: c.NoKeepAlive,
		Method: c.Method, BodyBytes: c.BodySize, AnswerBytes: c.AnswerSize,
	}
	if err := cfg.Check(); err != nil {
		return unusable{err}
	}
	report, err := bench.Request(s.ctx, cfg)
	if err != nil {
		return err
	}
	return c.write(s, report)
}

type report interface {
	WriteJSON(io.Writer) error
	WriteTable(io.Writer) error
	WriteHTML(io.Writer) error
}

// write prints the report, and writes the file if there is to be one.
func (f *benchFlags) write(s *streams, r report) error {
	if f.Progress || isTerminal(s.stderr) {
		fmt.Fprint(s.stderr, "\x1b[K")
	}
	if f.HTML != "" {
		file, err := os.Create(f.HTML)
		if err != nil {
			return fmt.Errorf("writing report: %w", err)
		}
		defer file.Close()
		if err := r.WriteHTML(file); err != nil {
			return fmt.Errorf("writing report: %w", err)
		}
	}
	if f.JSON {
		return r.WriteJSON(s.stdout)
	}
	return r.WriteTable(s.stdout)
}
