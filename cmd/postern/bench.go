package main

import (
	"crypto/tls"
	"io"
	"time"

	"github.com/postern-lb/postern/bench"
)

type benchCommand struct {
	Handshake benchHandshake `cmd:"" help:"Full or resumed TLS handshakes a second."`
	Requests  benchRequests  `cmd:"" help:"Keep-alive requests a second."`
}

// benchFlags are those that both measurements have.
type benchFlags struct {
	CAFile      string        `name:"ca" type:"path" placeholder:"FILE" help:"Certificates that the server's must lead to. Default: the system's."`
	CertFile    string        `name:"cert" type:"path" placeholder:"FILE" help:"The client's certificates, PEM, leaf first."`
	KeyFile     string        `name:"key" type:"path" placeholder:"FILE" help:"The client's key, PEM."`
	ServerName  string        `placeholder:"NAME" help:"Server name to ask for. Default: the host of the address."`
	Connections int           `default:"16" help:"Connections at a time."`
	Duration    time.Duration `default:"5s" help:"Length of the measured window."`
	Count       int           `help:"End after so many attempts."`
	ServerPID   int           `name:"server-pid" help:"Also read the CPU time of this process and its children (Linux)."`
	X25519      bool          `name:"x25519" help:"Offer no other key agreement."`
	TLS12       bool          `name:"tls12" help:"Offer TLS 1.2 at most."`
	JSON        bool          `name:"json" help:"Print one JSON object."`
}

func (f *benchFlags) client() bench.Client {
	c := bench.Client{ServerName: f.ServerName, CAFile: f.CAFile, CertFile: f.CertFile, KeyFile: f.KeyFile}
	if f.X25519 {
		c.Curves = []tls.CurveID{tls.X25519}
	}
	if f.TLS12 {
		c.MaxVersion = tls.VersionTLS12
	}
	return c
}

func (f *benchFlags) load() bench.Load {
	return bench.Load{Connections: f.Connections, Duration: f.Duration, Count: f.Count, ServerPID: f.ServerPID}
}

type benchHandshake struct {
	benchFlags
	Resume  bool   `help:"Resume the session of the last handshake."`
	Get     bool   `help:"Send one GET on each connection and read the answer."`
	Address string `arg:"" placeholder:"HOST:PORT" help:"The server."`
}

// Run measures handshakes.
func (c *benchHandshake) Run(s *streams) error {
	cfg := bench.HandshakeConfig{Address: c.Address, Client: c.client(), Load: c.load(), Resume: c.Resume, TinyGET: c.Get}
	if err := cfg.Check(); err != nil {
		return unusable{err}
	}
	report, err := bench.Handshake(s.ctx, cfg)
	if err != nil {
		return err
	}
	return print(s, c.JSON, report)
}

type benchRequests struct {
	benchFlags
	Rate    float64 `help:"Requests a second in all; 0: as fast as the answers come."`
	HTTP2   bool    `name:"http2" help:"Speak HTTP/2."`
	Streams int     `default:"10" help:"Requests in flight on each HTTP/2 connection."`
	URL     string  `arg:"" help:"What to ask for."`
}

// Run measures requests.
func (c *benchRequests) Run(s *streams) error {
	cfg := bench.RequestsConfig{URL: c.URL, Client: c.client(), Load: c.load(), Rate: c.Rate, HTTP2: c.HTTP2, Streams: c.Streams}
	if err := cfg.Check(); err != nil {
		return unusable{err}
	}
	report, err := bench.Requests(s.ctx, cfg)
	if err != nil {
		return err
	}
	return print(s, c.JSON, report)
}

type report interface {
	WriteJSON(io.Writer) error
	WriteTable(io.Writer) error
}

func print(s *streams, asJSON bool, r report) error {
	if asJSON {
		return r.WriteJSON(s.stdout)
	}
	return r.WriteTable(s.stdout)
}
