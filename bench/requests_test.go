package bench_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/bench"
	"github.com/postern-lb/postern/internal/fault"
)

func requests(t *testing.T, c bench.RequestsConfig) *bench.RequestsReport {
	t.Helper()
	report, err := bench.Requests(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRequestsCountAnswers(t *testing.T) {
	const count, workers = 400, 2
	for _, tt := range []struct {
		name    string
		size    int
		status  int
		streams int // 0: HTTP/1.1
	}{
		{"http/1.1", 128, 200, 0},
		{"http/1.1, more than one read", 200_000, 200, 0},
		{"http/1.1, no body", 0, 204, 0},
		{"http/2", 128, 200, 10},
		{"http/2, many frames", 200_000, 200, 3},
		{"http/2, no body", 0, 204, 10},
		{"http/2, a status outside the table", 5, 201, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, answer(tt.status, tt.size))
			if tt.size > 1000 {
				s = startServer(t, sized(tt.size))
			}
			r := requests(t, bench.RequestsConfig{
				URL: s.url + "/path?q", Client: s.client(), Load: exactly(count), HTTP2: tt.streams > 0, Streams: tt.streams,
			})
			if r.Completed != count || r.Failed != 0 || r.BodyBytes != uint64(tt.size) {
				t.Errorf("completed %d, failed %d, body %d; want %d, 0, %d: %v", r.Completed, r.Failed, r.BodyBytes, count, tt.size, r.Errors)
			}
			proof := int64(1)
			most := count + proof + int64(workers*max(tt.streams, 1))
			if got := s.requests.Load(); got < count+proof || got > most {
				t.Errorf("server saw %d requests, want %d to %d", got, count+proof, most)
			}
			if got := s.accepted.Load(); got != workers+proof {
				t.Errorf("server accepted %d connections, want %d", got, workers+proof)
			}
		})
	}
}

// sized says how long the answer is, which net/http leaves out for long ones.
func sized(size int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		answer(200, size).ServeHTTP(w, r)
	})
}

func TestRequestsWithoutTLS(t *testing.T) {
	address := rawServer(t, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhello")
	r := requests(t, bench.RequestsConfig{URL: "http://" + address, Load: exactly(50)})
	if r.Completed != 50 || r.BodyBytes != 5 || r.Negotiated != "no TLS" {
		t.Errorf("completed %d of %d bytes, %q", r.Completed, r.BodyBytes, r.Negotiated)
	}
}

// rawServer answers each request on a connection with the next of answers, and
// the last for ever.
func rawServer(t *testing.T, answers ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerRaw(conn, answers)
		}
	}()
	return listener.Addr().String()
}

func answerRaw(conn net.Conn, answers []string) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := 0; ; i++ {
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		text := answers[min(i, len(answers)-1)]
		if text == "" {
			return
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

func TestRequestsCountFaultyAnswers(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, tt := range []struct{ name, answer, kind string }{
		{"status", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "status 502"},
		{"no length", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", bench.KindProtocol},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bench.KindProtocol},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", bench.KindProtocol},
		{"more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", bench.KindProtocol},
		{"no HTTP", "220 mail.example ESMTP\r\n\r\n", bench.KindProtocol},
		{"status of letters", "HTTP/1.1 2xx OK\r\n\r\n", bench.KindProtocol},
		{"endless headers", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", bench.KindProtocol},
		{"nothing", "", bench.KindClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := bench.RequestsConfig{URL: "http://" + rawServer(t, good, tt.answer), Load: exactly(8)}
			c.Load.Connections = 1
			r := requests(t, c)
			if r.Completed != 4 || r.Failed != 4 || r.Errors[0].Kind != tt.kind || len(r.Errors) != 1 {
				t.Errorf("completed %d, failed %d, errors %+v; want 4, 4, kind %q", r.Completed, r.Failed, r.Errors, tt.kind)
			}
		})
	}
}

func TestRequestsReopenWhatTheServerCloses(t *testing.T) {
	const last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
	c := bench.RequestsConfig{URL: "http://" + rawServer(t, last, ""), Load: exactly(20)}
	c.Load.Connections = 1
	r := requests(t, c)
	if r.Completed != 20 || r.Failed != 0 || r.Reopened < 19 {
		t.Errorf("completed %d, failed %d, reopened %d", r.Completed, r.Failed, r.Reopened)
	}
}

func TestRequestsReopenAfterGoAway(t *testing.T) {
	var served atomic.Int64
	s := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1)%10 == 0 {
			w.Header().Set("Connection", "close") // net/http turns it into GOAWAY
		}
	}))
	r := requests(t, bench.RequestsConfig{URL: s.url, Client: s.client(), Load: exactly(100), HTTP2: true, Streams: 3})
	if r.Completed != 100 || r.Failed != 0 || r.Reopened == 0 {
		t.Errorf("completed %d, failed %d, reopened %d: %v", r.Completed, r.Failed, r.Reopened, r.Errors)
	}
}

func TestRequestsCountHTTP2Errors(t *testing.T) {
	var served atomic.Int64
	s := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch served.Add(1) % 4 {
		case 2:
			w.WriteHeader(503)
		case 3:
			panic(http.ErrAbortHandler) // RST_STREAM
		}
	}))
	c := bench.RequestsConfig{URL: s.url, Client: s.client(), Load: exactly(40), HTTP2: true, Streams: 1}
	c.Load.Connections = 1
	r := requests(t, c)
	kinds := map[string]uint64{}
	for _, e := range r.Errors {
		kinds[e.Kind] = e.Count
	}
	if r.Completed != 20 || kinds["status 503"] != 10 || kinds[bench.KindProtocol] != 10 {
		t.Errorf("completed %d, errors %v; want 20, and 10 of each", r.Completed, kinds)
	}
}

func TestFixedRateIsKept(t *testing.T) {
	s := startServer(t, answer(200, 5))
	c := bench.RequestsConfig{URL: s.url, Client: s.client(), Rate: 200}
	c.Load = bench.Load{Connections: 4, Warmup: 100 * time.Millisecond, Duration: time.Second}
	r := requests(t, c)
	if r.Completed < 150 || r.Completed > 210 || r.Rate != 200 {
		t.Errorf("completed %d at rate %v, want about 200", r.Completed, r.Rate)
	}
}

// TestFixedRateCountsTheQueue gives one connection twice the work that it can
// do: the last request of the window has waited for half of it.
func TestFixedRateCountsTheQueue(t *testing.T) {
	const pause = 20 * time.Millisecond
	s := startServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(pause) }))
	c := bench.RequestsConfig{URL: s.url, Client: s.client(), Rate: 100}
	c.Load = bench.Load{Connections: 1, Warmup: -1, Duration: time.Second}
	r := requests(t, c)
	if most := 300_000.0; r.Latency.Max < most {
		t.Errorf("longest latency %v µs, want more than %v: time in the queue is not counted", r.Latency.Max, most)
	}
	c.Rate = 0
	if r := requests(t, c); r.Latency.P50 > 200_000 {
		t.Errorf("without a rate the median is %v µs, want about %v", r.Latency.P50, pause)
	}
}

func TestRequestsCheckNamesEveryFault(t *testing.T) {
	for _, tt := range []struct {
		config bench.RequestsConfig
		path   string
	}{
		{bench.RequestsConfig{URL: "ftp://a"}, "url"},
		{bench.RequestsConfig{URL: "https://"}, "url"},
		{bench.RequestsConfig{URL: "http://a", HTTP2: true}, "http2"},
		{bench.RequestsConfig{URL: "https://a", HTTP2: true, Rate: 5}, "rate"},
		{bench.RequestsConfig{URL: "https://a", Rate: bench.MaxRate + 1}, "rate"},
		{bench.RequestsConfig{URL: "https://a", HTTP2: true, Streams: bench.MaxStreams + 1}, "streams"},
		{bench.RequestsConfig{URL: "https://a", Streams: 2}, "streams"},
		{bench.RequestsConfig{URL: "https://a", Load: bench.Load{Connections: -1}}, "connections"},
	} {
		_, err := bench.Requests(t.Context(), tt.config)
		if faults := fault.All(err); len(faults) != 1 || faults[0].Path != tt.path {
			t.Errorf("%+v: got %v, want one fault at %s", tt.config, err, tt.path)
		}
	}
}

func TestRequestsReportPrints(t *testing.T) {
	r := &bench.RequestsReport{Rate: 100, Streams: 7, BodyBytes: 128, Negotiated: "TLS 1.3"}
	var text, object bytes.Buffer
	if err := errors.Join(r.WriteTable(&text), r.WriteJSON(&object)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100/s", "128 bytes", "7 a connection", "TLS 1.3"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	if !strings.Contains(object.String(), `"body_bytes": 128`) {
		t.Errorf("JSON is %s", object.String())
	}
}
