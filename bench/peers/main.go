// Command peers runs TLS servers side by side on this machine and writes
// RESULTS.md. It needs Linux, two cores, taskset, Go, and those servers that are
// to take part; bench/README.md has the method.
//
//	go run ./bench/peers                       every server that is installed, every row
//	go run ./bench/peers -short                the same in under ten minutes
//	NGINX=/opt/nginx go run ./bench/peers -servers nginx,postern -rows 'full|resumed'
//	go run ./bench/peers -servers nginx,awslc=nginx:/opt/awslc/nginx,postern
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postern-lb/postern/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := parse()
	err := o.start(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// start only prepares, or measures.
func (o *options) start(ctx context.Context) error {
	if o.prepare != "" {
		return prepare(o.prepare)
	}
	if err := pin(o.loadCore); err != nil {
		return err
	}
	return run(ctx, o)
}

// prepare writes certificates, a configuration of Postern with profiling on, and
// the addresses in it as shell variables: what bench/pgo.sh starts from.
func prepare(dir string) error {
	if err := writePKI(filepath.Join(dir, "pki")); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	l := launch{
		setup: setup{Tickets: true, CRL: "10k"}, Label: "postern", Dir: dir, Logs: true, Profiling: true,
		Port: ports[0], Backend: ports[1], Admin: ports[2],
	}
	if err := fill("postern.yaml.tmpl", filepath.Join(dir, "postern.yaml"), l); err != nil {
		return err
	}
	text := fmt.Sprintf("FRONT=127.0.0.1:%d\nBACKEND=127.0.0.1:%d\nADMIN=127.0.0.1:%d\n", l.Port, l.Backend, l.Admin)
	return os.WriteFile(filepath.Join(dir, "addresses"), []byte(text), 0o600)
}

type options struct {
	servers, rows, out   string
	prepare              string
	rounds, idle         int
	duration             time.Duration
	serverCore, loadCore int
	short                bool
}

func parse() *options {
	o := &options{}
	flag.StringVar(&o.servers, "servers", "nginx,haproxy,caddy,baseline,postern,postern-logs,direct", "who takes part, as `label[=kind:/path],...`")
	flag.StringVar(&o.rows, "rows", "", "`pattern` of the rows to measure; empty: all")
	flag.StringVar(&o.out, "out", "bench/RESULTS.md", "`file` to write")
	flag.IntVar(&o.rounds, "rounds", 5, "`number` of rounds; within one the servers take turns")
	flag.IntVar(&o.idle, "idle", 10_000, "`number` of idle connections")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "`length` of one window")
	flag.IntVar(&o.serverCore, "server-core", 0, "`core` of the servers")
	flag.IntVar(&o.loadCore, "load-core", 1, "`core` of generator and backend")
	flag.StringVar(&o.prepare, "prepare", "", "only write certificates and a configuration of Postern to this `folder`")
	flag.BoolVar(&o.short, "short", false, "two rounds of half a second")
	flag.Parse()
	if o.short {
		o.rounds, o.duration = 2, 500*time.Millisecond
	}
	return o
}

// pin runs this program again on the generator's core, as a whole: a process
// cannot move threads that it already has. It also raises the limit of open files.
func pin(core int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	const marker = "POSTERN_PEERS_PINNED"
	if os.Getenv(marker) != "" {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(core), self}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), marker+"=1", "GOMAXPROCS=1"))
}

// A site is the folder, the backend and the cores of one run.
type site struct {
	dir         string
	backendPort int
	serverCore  int
	loadCore    int
}

func (s *site) file(name string) string { return filepath.Join(s.dir, "pki", name) }

// client presents so many certificates.
func (s *site) client(length int) bench.Client {
	name := fmt.Sprintf("client-%d", length)
	return bench.Client{
		ServerName: "localhost", CAFile: s.file("root.pem"),
		CertFile: s.file(name + ".pem"), KeyFile: s.file(name + "-key.pem"),
		Curves: x25519Only, MinVersion: tls13,
	}
}

func run(ctx context.Context, o *options) error {
	pattern, err := regexp.Compile(o.rows)
	if err != nil {
		return fmt.Errorf("reading -rows: %w", err)
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &site{dir: dir, serverCore: o.serverCore, loadCore: o.loadCore}
	if err := s.build(); err != nil {
		return err
	}
	if err := writePKI(filepath.Join(dir, "pki")); err != nil {
		return err
	}
	servers, absent, err := s.choose(o.servers)
	if err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	s.backendPort = ports[0]
	backend, err := s.run(ctx, "backend", s.loadCore, filepath.Join(dir, "bin", "backend"), "-address", "127.0.0.1:"+strconv.Itoa(s.backendPort))
	if err != nil {
		return err
	}
	defer (&running{cmd: backend}).stop()
	r := &results{options: o, servers: servers, absent: absent, began: time.Now()}
	err = s.measureAll(ctx, o, pattern, r)
	return errors.Join(err, r.write(o.out))
}

// build makes the programs of ours that take part.
func (s *site) build() error {
	bin := filepath.Join(s.dir, "bin") + "/"
	build := exec.Command("go", "build", "-o", bin, "./bench/peers/backend", "./bench/peers/baseline", "./cmd/postern")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building; run this from the top of the repository: %w", err)
	}
	return nil
}

// choose finds the servers, and says which are not there.
func (s *site) choose(list string) (servers []server, absent []string, err error) {
	for item := range strings.SplitSeq(list, ",") {
		label, rest, isNamed := strings.Cut(item, "=")
		srv := server{label: label, kind: label}
		if isNamed {
			srv.kind, srv.binary, _ = strings.Cut(rest, ":")
		}
		k, ok := kinds[srv.kind]
		if !ok {
			return nil, nil, fmt.Errorf("-servers: %q is no kind of server", srv.kind)
		}
		if srv.binary == "" {
			srv.binary = os.Getenv(k.variable)
		}
		own := filepath.Join(s.dir, "bin", k.binary)
		if _, err := os.Stat(own); srv.binary == "" && err == nil {
			srv.binary = own
		}
		if srv.binary == "" {
			srv.binary = k.binary
		}
		if srv.binary, err = exec.LookPath(srv.binary); err != nil {
			absent = append(absent, label)
			continue
		}
		servers = append(servers, srv)
	}
	return servers, absent, nil
}
