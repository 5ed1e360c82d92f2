// Command load makes one run of package bench and prints the report:
//
//	load handshake -address 127.0.0.1:8443 -ca root.pem -cert client.pem -key client-key.pem
//	load requests  -url https://127.0.0.1:8443/ -ca root.pem -cert client.pem -key client-key.pem
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/postern-lb/postern/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// A report is what both kinds of run return.
type report interface {
	WriteTable(w io.Writer) error
	WriteJSON(w io.Writer) error
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("nothing to do; say handshake or requests, each has -help")
	}
	flags := flag.NewFlagSet("load "+args[0], flag.ExitOnError)
	asJSON := flags.Bool("json", false, "print JSON")
	var (
		r   report
		err error
	)
	switch args[0] {
	case "handshake":
		r, err = handshake(ctx, flags, args[1:])
	case "requests":
		r, err = requests(ctx, flags, args[1:])
	default:
		return fmt.Errorf("%q is neither handshake nor requests", args[0])
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return r.WriteJSON(os.Stdout)
	}
	return r.WriteTable(os.Stdout)
}

func handshake(ctx context.Context, flags *flag.FlagSet, args []string) (report, error) {
	var c bench.HandshakeConfig
	flags.StringVar(&c.Address, "address", "", "`host:port` of the server")
	flags.Float64Var(&c.Resume, "resume", 0, "`share` that offer the last session")
	flags.BoolVar(&c.TinyGET, "get", false, "finish each with a GET in place of a close")
	flags.StringVar(&c.Path, "path", "/ping", "`path` of the GET")
	if err := parse(flags, args, &c.Client, &c.Load); err != nil {
		return nil, err
	}
	return bench.Handshake(ctx, c)
}

func requests(ctx context.Context, flags *flag.FlagSet, args []string) (report, error) {
	var c bench.RequestConfig
	flags.StringVar(&c.URL, "url", "", "`URL` to get")
	flags.Float64Var(&c.Load.Rate, "rate", 0, "`requests` a second; 0 is as fast as answered")
	flags.BoolVar(&c.HTTP2, "http2", false, "speak HTTP/2")
	flags.IntVar(&c.Streams, "streams", 0, "HTTP/2 streams on each connection")
	if err := parse(flags, args, &c.Client, &c.Load); err != nil {
		return nil, err
	}
	return bench.Request(ctx, c)
}

// parse adds the flags that both kinds of run have.
func parse(flags *flag.FlagSet, args []string, c *bench.Client, l *bench.Load) error {
	flags.StringVar(&c.ServerName, "server-name", "", "SNI and `name` to expect")
	flags.StringVar(&c.CAFile, "ca", "", "what the server must lead to, PEM `file`")
	flags.StringVar(&c.CertFile, "cert", "", "client chain, PEM `file`")
	flags.StringVar(&c.KeyFile, "key", "", "client key, PEM `file`")
	flags.IntVar(&c.NewClients, "new-clients", 0, "make so `many` clients and rotate through them")
	flags.StringVar(&c.IssuerFile, "issuer", "", "CA of new clients, PEM `file`")
	flags.StringVar(&c.IssuerKeyFile, "issuer-key", "", "its key, PEM `file`")
	tls12 := flags.Bool("tls12", false, "offer TLS 1.2 only")
	classic := flags.Bool("no-mlkem", false, "offer X25519 and then P-256, no ML-KEM")
	flags.IntVar(&l.Connections, "connections", 0, "`number` at a time")
	flags.DurationVar(&l.Warmup, "warmup", 0, "`time` before the window")
	flags.DurationVar(&l.Duration, "duration", 0, "`length` of the window")
	flags.IntVar(&l.Count, "count", 0, "end the window after so `many`")
	flags.DurationVar(&l.Timeout, "timeout", 0, "`bound` on one handshake or answer")
	flags.IntVar(&l.ServerPID, "server-pid", 0, "`process` whose CPU time to read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *tls12 {
		c.MaxVersion = tls.VersionTLS12
	}
	if *classic {
		// P-256 too: in TLS 1.2 the list also says which certificates are welcome.
		c.Curves = []tls.CurveID{tls.X25519, tls.CurveP256}
	}
	return nil
}
