// Command postern is a load balancer for mutual TLS. See postern --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, which scripts rely on.
const (
	exitGood     = 0
	exitNo       = 1 // the answer is no, or the run failed
	exitUnusable = 2 // the input cannot be used
)

// cli is the command line. Each command has a file of its own.
type cli struct {
	Run     runCommand     `cmd:"" help:"Serve until SIGTERM, which drains; SIGHUP reloads."`
	Check   checkCommand   `cmd:"" help:"Validate a config file and everything that it names."`
	Demo    demoCommand    `cmd:"" help:"Make throw-away certificates, targets and listeners, and print curl commands to try."`
	Verify  verifyCommand  `cmd:"" help:"Say what verify mode would decide for a client certificate chain, and why."`
	Explain explainCommand `cmd:"" help:"Replay what a listener decides about a client certificate chain, step by step."`
	Trust   trustCommand   `cmd:"" help:"Look at trust stores and their bundles."`
	CRL     crlCommand     `cmd:"" name:"crl" help:"Look at revocation lists."`
	PKI     pkiCommand     `cmd:"" name:"pki" help:"Make, renew and revoke certificates for laboratories."`
	Bench   benchCommand   `cmd:"" help:"Measure a server from outside."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// streams is where commands write.
type streams struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// unusable marks an error of the input, as opposed to one of the run.
type unusable struct{ error }

func (u unusable) Unwrap() error { return u.error }

// errNo is returned when the command did its work and the answer is no; what
// there is to say has been printed.
var errNo = errors.New("the answer is no")

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ends
		// A second signal finds nobody who waits for it and ends the process at once.
		signal.Stop(ends)
		cancel()
	}()
	os.Exit(execute(&streams{ctx, os.Stdout, os.Stderr}, os.Args[1:]))
}

// execute runs one command line and returns its exit code.
func execute(s *streams, args []string) int {
	exit := -1
	parser, err := kong.New(&cli{},
		kong.Name("postern"),
		kong.Description("A load balancer for mutual TLS that speaks AWS ALB's language."),
		kong.Vars{"version": version()},
		kong.Writers(s.stdout, s.stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(s),
	)
	if err != nil {
		panic("postern: internal error: " + err.Error())
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // --help or --version
		return exit
	}
	if err != nil {
		fmt.Fprintf(s.stderr, "postern: %v\nTry: postern --help\n", err)
		return exitUnusable
	}
	return s.code(command.Run(s))
}

// code prints an error and returns the exit code that goes with it.
func (s *streams) code(err error) int {
	if err == nil {
		return exitGood
	}
	if !errors.Is(err, errNo) {
		fmt.Fprintf(s.stderr, "postern: %v\n", err)
	}
	if _, ok := errors.AsType[unusable](err); ok {
		return exitUnusable
	}
	return exitNo
}
