package listener

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// webEcho answers each line of the body as it comes.
func webEcho(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		fmt.Fprintf(w, "echo %s\n", lines.Text())
		control.Flush()
	}
}

func TestHTTPStreamsBothWays(t *testing.T) {
	target := webTarget(t, webEcho)
	for _, major := range []int{1, 2} {
		w := webServe(t, target, webHTTPS)
		body, send := io.Pipe()
		answers := make(chan *http.Response, 1)
		go func() {
			res, err := w.client(major).Do(w.request("POST", "/", body))
			if err != nil {
				t.Error(err)
			}
			answers <- res
		}()
		io.WriteString(send, "1\n")
		res := <-answers
		if res == nil {
			t.FailNow()
		}
		r := bufio.NewReader(res.Body)
		for i := 1; i <= 5; i++ {
			if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("HTTP/%d: line %d is %q, %v", major, i, line, err)
			}
			fmt.Fprintf(send, "%d\n", i+1)
		}
		send.Close()
		io.Copy(io.Discard, r)
		webWant(t, w.line(1), map[int]string{9: "200", 10: "200"})
	}
}

// While one direction moves, the other may rest for longer than the idle timeout.
func TestHTTPOneDirectionMayRest(t *testing.T) {
	const idle = 400 * time.Millisecond
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		io.WriteString(w, "begin ")
		control.Flush()
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d", n)
	})
	for _, major := range []int{1, 2} {
		w := webServe(t, target, webHTTPS, webIdle(idle))
		body, send := io.Pipe()
		go func() {
			defer send.Close()
			for range 12 {
				io.WriteString(send, "x")
				time.Sleep(idle / 4)
			}
		}()
		if _, answer := w.do(w.client(major), w.request("POST", "/", body)); answer != "begin 12" {
			t.Errorf("HTTP/%d: %q", major, answer)
		}
	}
}

// webZeros is a body of n bytes that no one holds in memory.
func webZeros(n int64) io.Reader { return io.LimitReader(webZero{}, n) }

type webZero struct{}

func (webZero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestHTTPLargeBodiesAreNotBuffered(t *testing.T) {
	const size, bound = 50 << 20, 24 << 20
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != size {
			t.Errorf("the target got %d bytes", n)
		}
		io.Copy(w, webZeros(size))
	})
	for _, major := range []int{1, 2} {
		w := webServe(t, target, webHTTPS)
		peak, stop := webPeakHeap(t)
		res, err := w.client(major).Do(w.request("POST", "/", webZeros(size)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if n != size || err != nil {
			t.Errorf("HTTP/%d: %d bytes came back, %v", major, n, err)
		}
		res.Body.Close()
		stop()
		if grown := peak.Load(); grown > bound {
			t.Errorf("HTTP/%d: the heap grew by %d bytes, want less than %d", major, grown, bound)
		}
		line := w.line(1)
		if len(line[11]) < 8 || len(line[12]) < 8 {
			t.Errorf("received and sent bytes %s and %s", line[11], line[12])
		}
	}
}

// webPeakHeap watches by how much the heap in use grows.
func webPeakHeap(t *testing.T) (peak *atomic.Int64, stop func()) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, done, ended := int64(m.HeapAlloc), make(chan struct{}), make(chan struct{})
	peak = new(atomic.Int64)
	go func() {
		defer close(ended)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), int64(m.HeapAlloc)-before))
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(done); <-ended }
}

func TestHTTPTrailers(t *testing.T) {
	seen := make(chan http.Header, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		seen <- r.Trailer.Clone()
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	}
	for _, tt := range []struct {
		name  string
		major int
		two   bool
	}{{"1 to 1", 1, false}, {"2 to 1", 2, false}, {"2 to 2", 2, true}} {
		t.Run(tt.name, func(t *testing.T) {
			target := ""
			cfg := webGroupOf("main")
			if tt.two {
				target = webTarget2(t, handler)
				cfg.ProtocolVersion = "HTTP2"
			} else {
				target = webTarget(t, handler)
			}
			cfg.Targets = webGroupOf("main", target).Targets
			w := webServe(t, "", webHTTPS, webBackend(t, cfg))
			r := w.request("POST", "/", io.MultiReader(strings.NewReader("body")))
			r.Trailer = http.Header{"X-Check": {"7"}, "X-Amzn-Mtls-Clientcert-Subject": {"CN=evil"}}
			res, body := w.do(w.client(tt.major), r)
			if body != "body" || res.Trailer.Get("X-Sum") != "42" || res.Trailer.Get("X-Late") != "unannounced" {
				t.Errorf("answer %q with trailers %v", body, res.Trailer)
			}
			if got := <-seen; got.Get("X-Check") != "7" || len(got) != 1 {
				t.Errorf("the target got trailers %v", got)
			}
		})
	}
}
