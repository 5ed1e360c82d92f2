package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

// answering serves every request of a connection with the texts, in turn.
func answering(conns *atomic.Int32, texts ...string) func(net.Conn) {
	return func(nc net.Conn) {
		conns.Add(1)
		r := bufio.NewReader(nc)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(nc, texts[min(i, len(texts)-1)])
		}
	}
}

func get(t testing.TB, tr http.RoundTripper, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// TestConnectionsAreNotReusedAfter lists what ends a connection: after each answer
// the next request must come over a new one and get its own answer.
func TestConnectionsAreNotReusedAfter(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for _, tt := range []struct {
		name, answer string
		reused       bool
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"keep-alive in HTTP/1.0", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false},
		{"a second response", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + evil, false},
		{"a second response after no body", "HTTP/1.1 204 No Content\r\n\r\n" + evil, false},
		{"a body where there is none", "HTTP/1.1 204 No Content\r\nContent-Length: 47\r\n\r\n" + evil, false},
		{"chunks in 204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"more after the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, false},
		{"one byte more", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n", false},
		{"a large body and more", "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000) + evil, false},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(tt.name+"/"+scheme, func(t *testing.T) {
				var conns atomic.Int32
				target := answering(&conns, tt.answer)
				if scheme == "https" {
					target = overTLS(target)
				}
				url := scheme + "://" + scripted(t, target)
				tr := newTransport(t)
				for range 3 {
					// A body of a known size is read into a buffer of that size, so that
					// TLS keeps what comes after it.
					if err := readExactly(tr, url); err != nil {
						t.Fatal(err)
					}
				}
				if got := conns.Load() == 1; got != tt.reused {
					t.Errorf("%d connections for 3 requests, reuse wanted: %v", conns.Load(), tt.reused)
				}
			})
		}
	}
}

func readExactly(tr *Transport, url string) error {
	req, _ := http.NewRequest("GET", url, nil)
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body := make([]byte, max(res.ContentLength, 0), 1<<16)
	_, err = io.ReadFull(res.Body, body)
	if res.ContentLength < 0 {
		body, err = io.ReadAll(res.Body)
	}
	if strings.Contains(string(body), "evil") {
		return fmt.Errorf("got the answer of nobody: %q", body)
	}
	return err
}

func overTLS(f func(net.Conn)) func(net.Conn) {
	root := pki.NewRoot("targets")
	config := &tls.Config{Certificates: []tls.Certificate{root.Server("127.0.0.1").TLS()}}
	return func(nc net.Conn) { f(tls.Server(nc, config)) }
}

// TestAnswersBeforeTheRequestAreDropped sends a response while the connection is
// idle: it must not become the answer to the next request.
func TestAnswersBeforeTheRequestAreDropped(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		var conns atomic.Int32
		target := func(nc net.Conn) {
			first := conns.Add(1) == 1
			r := bufio.NewReader(nc)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
				if first {
					time.Sleep(20 * time.Millisecond)
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				}
			}
		}
		if scheme == "https" {
			target = overTLS(target)
		}
		url := scheme + "://" + scripted(t, target)
		tr := newTransport(t)
		for range 2 {
			if body, err := get(t, tr, url); body != "good" || err != nil {
				t.Errorf("%s: got %q %v", scheme, body, err)
			}
			time.Sleep(60 * time.Millisecond)
		}
		if n := conns.Load(); n != 2 {
			t.Errorf("%s: %d connections, want 2", scheme, n)
		}
	}
}

// TestStaleConnections has a target that closes a connection just as its second
// request arrives.
func TestStaleConnections(t *testing.T) {
	for _, tt := range []struct {
		method, body string
		repeated     bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"PUT", "", true}, {"DELETE", "", true},
		{"POST", "", false}, {"PATCH", "", false}, {"PUT", "data", false}, {"GET", "data", false},
	} {
		var requests, conns atomic.Int32
		url := "http://" + scripted(t, func(nc net.Conn) {
			last := conns.Add(1) == 1
			r := bufio.NewReader(nc)
			for i := 0; ; i++ {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				requests.Add(1)
				if i == 1 && last {
					return
				}
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		tr := newTransport(t)
		if _, err := get(t, tr, url); err != nil {
			t.Fatal(err)
		}
		var body io.Reader
		if tt.body != "" {
			body = strings.NewReader(tt.body)
		}
		req, _ := http.NewRequest(tt.method, url, body)
		res, err := tr.RoundTrip(req)
		if tt.repeated != (err == nil) {
			t.Errorf("%s %q: %v, repetition wanted: %v", tt.method, tt.body, err, tt.repeated)
		}
		if err == nil {
			res.Body.Close()
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: error %v, want an unexpected EOF", tt.method, err)
		}
		if want := int32(2); !tt.repeated && requests.Load() != want {
			t.Errorf("%s %q arrived %d times, want %d", tt.method, tt.body, requests.Load()-1, want-1)
		}
	}
}

// TestClosedConnectionIsNoticed lets the target close while the connection is idle; even a
// POST must go through then.
func TestClosedConnectionIsNoticed(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		target := func(nc net.Conn) {
			http.ReadRequest(bufio.NewReader(nc))
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			nc.Close()
		}
		if scheme == "https" {
			target = overTLS(target)
		}
		url := scheme + "://" + scripted(t, target)
		tr := newTransport(t)
		for range 3 {
			req, _ := http.NewRequest("POST", url, nil)
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", scheme, err)
			}
			io.Copy(io.Discard, res.Body)
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// TestEveryRequestGetsItsOwnAnswer hammers one target with requests that are
// cancelled, left half read, and closed under their readers.
func TestEveryRequestGetsItsOwnAnswer(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) { hammer(t, scheme) })
	}
}

func hammer(t *testing.T, scheme string) {
	target := func(nc net.Conn) {
		r := bufio.NewReader(nc)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			body := strings.Repeat(req.URL.Path, 1+rand.IntN(2000))
			if rand.IntN(2) == 0 {
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			} else {
				fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
		}
	}
	if scheme == "https" {
		target = overTLS(target)
	}
	url := scheme + "://" + scripted(t, target)
	tr := newTransport(t)
	var wg sync.WaitGroup
	var good atomic.Int32
	for worker := range 8 {
		wg.Go(func() {
			for i := range 60 {
				if err := misuse(tr, url, fmt.Sprintf("/%d-%d", worker, i)); err == nil {
					good.Add(1)
				} else if strings.Contains(err.Error(), "foreign") {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if good.Load() < 100 {
		t.Errorf("%d requests of 480 answered whole", good.Load())
	}
}

// misuse sends one request and treats its response badly, mostly.
func misuse(tr *Transport, url, path string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var body io.Reader
	if rand.IntN(3) == 0 {
		body = struct{ io.Reader }{strings.NewReader("upload")}
	}
	req, _ := http.NewRequestWithContext(ctx, "PUT", url+path, body)
	if rand.IntN(4) == 0 {
		go func() { time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond); cancel() }()
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch rand.IntN(4) {
	case 0:
		io.CopyN(io.Discard, res.Body, 3)
		return errors.New("left")
	case 1:
		go res.Body.Close()
	}
	got, err := io.ReadAll(res.Body)
	if strings.Trim(string(got), path) != "" || len(got) > 0 && !strings.HasPrefix(string(got), path[:min(len(got), len(path))]) {
		return fmt.Errorf("foreign answer to %s: %.100q", path, got)
	}
	io.ReadAll(res.Body) // late: must touch nothing
	return err
}
