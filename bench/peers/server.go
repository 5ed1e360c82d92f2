package main

import (
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"

	"github.com/postern-lb/postern/bench"
)

//go:embed *.tmpl
var templates embed.FS

// A server is one that takes part.
type server struct {
	label  string // its column
	kind   string // which of the kinds below
	binary string
}

// A kind says how a server is configured, started and told to reload.
type kind struct {
	template string // empty if flags say it all
	file     string // what the filled template is called, after the label
	binary   string // looked for in the PATH, unless the variable names another
	variable string
	args     func(s *site, l launch, file string) []string
	readsCRL bool
	reload   func(pid int, file string) error
	logs     bool
	// only is what the names of its rows contain; empty: all rows.
	only string
}

func hangup(pid int, _ string) error { return syscall.Kill(pid, syscall.SIGHUP) }

var kinds = map[string]kind{
	"nginx": {
		template: "nginx.conf.tmpl", file: ".conf", binary: "nginx", variable: "NGINX", readsCRL: true, reload: hangup,
		args: func(s *site, _ launch, file string) []string {
			return []string{"-p", s.dir, "-e", "stderr", "-c", file}
		},
	},
	"haproxy": {
		template: "haproxy.cfg.tmpl", file: ".cfg", binary: "haproxy", variable: "HAPROXY", readsCRL: true,
		args:   func(_ *site, _ launch, file string) []string { return []string{"-W", "-db", "-f", file} },
		reload: func(pid int, _ string) error { return syscall.Kill(pid, syscall.SIGUSR2) },
	},
	"caddy": {
		template: "caddy.json.tmpl", file: ".json", binary: "caddy", variable: "CADDY",
		args: func(_ *site, _ launch, file string) []string { return []string{"run", "--config", file} },
	},
	"baseline": {
		binary: "baseline", variable: "BASELINE",
		args: func(s *site, l launch, _ string) []string {
			return []string{
				"-address", "127.0.0.1:" + strconv.Itoa(l.Port), "-backend", "http://127.0.0.1:" + strconv.Itoa(l.Backend),
				"-client-ca", s.file("root.pem"), "-cert", s.file("server.pem"), "-key", s.file("server-key.pem"),
				"-tickets=" + strconv.FormatBool(l.Tickets),
			}
		},
	},
	// No proxy: the backend itself, over TLS.
	"direct": {
		binary: "backend", variable: "BACKEND", only: "latency of one connection",
		args: func(s *site, l launch, _ string) []string {
			return []string{"-address", "127.0.0.1:" + strconv.Itoa(l.Port), "-cert", s.file("server.pem"), "-key", s.file("server-key.pem")}
		},
	},
	"postern":      posternKind(false),
	"postern-logs": posternKind(true),
}

func posternKind(logs bool) kind {
	only := ""
	if logs { // what they cost shows where a request costs least
		only = "keep-alive HTTP/1.1"
	}
	return kind{
		only:     only,
		template: "postern.yaml.tmpl", file: ".yaml", binary: "postern", variable: "POSTERN", readsCRL: true, reload: hangup, logs: logs,
		args: func(_ *site, _ launch, file string) []string { return []string{"run", "--config", file} },
	}
}

// A setup is what all servers of some rows are told.
type setup struct {
	Tickets bool
	CRL     string // a name of crlSizes; empty for none
}

// A launch is what a template is filled with.
type launch struct {
	setup
	Label, Dir           string
	Port, Backend, Admin int
	Root, Logs           bool
	Profiling            bool // of Postern
}

// A running server.
type running struct {
	server
	kind    kind
	file    string
	address string
	cmd     *exec.Cmd
	site    *site
}

func (r *running) pid() int { return r.cmd.Process.Pid }

// start fills the template and runs the server on its core. GOMAXPROCS is 1 for
// those written in Go; taskset execs, so the process id is the server's.
func (s *site) start(ctx context.Context, srv server, set setup) (*running, error) {
	k := kinds[srv.kind]
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	l := launch{
		setup: set, Label: srv.label, Dir: s.dir, Port: ports[0], Admin: ports[1], Backend: s.backendPort,
		Root: os.Getuid() == 0, Logs: k.logs,
	}
	r := &running{server: srv, kind: k, address: "127.0.0.1:" + strconv.Itoa(l.Port), site: s}
	if k.template != "" {
		r.file = filepath.Join(s.dir, srv.label+k.file)
		if err := fill(k.template, r.file, l); err != nil {
			return nil, err
		}
	}
	r.cmd, err = s.run(ctx, srv.label, s.serverCore, srv.binary, k.args(s, l, r.file)...)
	return r, err
}

func fill(name, file string, l launch) error {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return fmt.Errorf("reading template: %w", err)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("filling template: %w", err)
	}
	defer out.Close()
	return t.Execute(out, l)
}

// run starts a command on one core, its output in a file.
func (s *site) run(ctx context.Context, label string, core int, binary string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(s.dir, label+".out"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core), binary}, args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", label, err)
	}
	return cmd, nil
}

func (r *running) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(5*time.Second, func() { _ = r.cmd.Process.Kill() })
	_ = r.cmd.Wait() // it was told to end, however it says so
	timer.Stop()
}

// patience is how long a server may take until it answers.
const patience = 30 * time.Second

// ready waits for the first answer through the backend.
func (r *running) ready(ctx context.Context) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		if err = r.once(ctx); err == nil {
			return nil
		}
	}
	output, _ := os.ReadFile(filepath.Join(r.site.dir, r.label+".out"))
	return fmt.Errorf("waiting for %s: %w\n%s", r.label, err, output)
}

func (r *running) once(ctx context.Context) error {
	report, err := bench.Request(ctx, bench.RequestConfig{
		URL: "https://" + r.address + "/128", Client: r.site.client(2), AnswerBytes: 128,
		Load: bench.Load{Connections: 1, Count: 1, Warmup: -1},
	})
	if err == nil && report.Completed != 1 {
		err = fmt.Errorf("no answer: %v", report.Errors)
	}
	return err
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
