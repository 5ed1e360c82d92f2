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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/bench"
	"github.com/postern-lb/postern/internal/fault"
)

func requests(t *testing.T, c bench.RequestConfig) *bench.RequestReport {
	t.Helper()
	report, err := bench.Request(t.Context(), c)
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
			r := requests(t, bench.RequestConfig{
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
	r := requests(t, bench.RequestConfig{URL: "http://" + address, Load: exactly(50)})
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
		{"chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n", bench.KindProtocol},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", bench.KindProtocol},
		{"more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", bench.KindProtocol},
		{"no HTTP", "220 mail.example ESMTP\r\n\r\n", bench.KindProtocol},
		{"status of letters", "HTTP/1.1 2xx OK\r\n\r\n", bench.KindProtocol},
		{"endless headers", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", bench.KindProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := bench.RequestConfig{URL: "http://" + rawServer(t, good, tt.answer), Load: exactly(8)}
			c.Load.Connections = 1
			r := requests(t, c)
			if r.Completed != 4 || r.Failed != 4 || r.Errors[0].Kind != tt.kind || len(r.Errors) != 1 {
				t.Errorf("completed %d, failed %d, errors %+v; want 4, 4, kind %q", r.Completed, r.Failed, r.Errors, tt.kind)
			}
		})
	}
}

func TestRequestsReadEveryFraming(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	} {
		r := requests(t, bench.RequestConfig{URL: "http://" + rawServer(t, answer), Load: exactly(10)})
		if r.Completed != 10 || r.Reopened != 0 {
			t.Errorf("%q: completed %d, reopened %d, errors %v", answer, r.Completed, r.Reopened, r.Errors)
		}
	}
}

// TestRequestsSendAgainWhatWasNotRead has a server that hangs up after each answer
// without a word: a request without a body may be sent again, another is lost.
func TestRequestsSendAgainWhatWasNotRead(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	c := bench.RequestConfig{URL: "http://" + rawServer(t, good, ""), Load: exactly(10)}
	c.Load.Connections = 1
	if r := requests(t, c); r.Completed != 10 || r.Failed != 0 || r.Retried < 9 {
		t.Errorf("completed %d, failed %d, sent again %d", r.Completed, r.Failed, r.Retried)
	}
	c.BodyBytes = 1
	if r := requests(t, c); r.Completed != 5 || r.Failed != 5 || r.Errors[0].Kind != bench.KindClosed {
		t.Errorf("with a body: completed %d, failed %d, errors %v", r.Completed, r.Failed, r.Errors)
	}
}

func TestRequestsReopenWhatTheServerCloses(t *testing.T) {
	const last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
	c := bench.RequestConfig{URL: "http://" + rawServer(t, last, ""), Load: exactly(20)}
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
	r := requests(t, bench.RequestConfig{URL: s.url, Client: s.client(), Load: exactly(100), HTTP2: true, Streams: 3})
	if r.Completed != 100 || r.Failed != 0 || r.Reopened == 0 {
		t.Errorf("completed %d, failed %d, reopened %d: %v", r.Completed, r.Failed, r.Reopened, r.Errors)
	}
}

// TestFixedRateOverHTTP2SurvivesGoAwayAndSilence has connections end, and others
// on which no request is due for longer than the timeout.
func TestFixedRateOverHTTP2SurvivesGoAwayAndSilence(t *testing.T) {
	var count atomic.Int64
	s := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1)%10 == 0 {
			w.Header().Set("Connection", "close") // net/http sends GOAWAY
		}
	}))
	c := bench.RequestConfig{URL: s.url, Client: s.client(), HTTP2: true}
	c.Load = bench.Load{Rate: 100, Connections: 2, Warmup: -1, Count: 100}
	if r := requests(t, c); r.Completed != 100 || r.Failed > 0 || r.Reopened == 0 {
		t.Errorf("completed %d, failed %d %v, reopened %d", r.Completed, r.Failed, r.Errors, r.Reopened)
	}
	c.Load = bench.Load{Rate: 5, Connections: 4, Timeout: 100 * time.Millisecond, Warmup: -1, Count: 5}
	if r := requests(t, c); r.Completed != 5 || r.Failed > 0 {
		t.Errorf("in silence: completed %d, failed %d %v", r.Completed, r.Failed, r.Errors)
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
	c := bench.RequestConfig{URL: s.url, Client: s.client(), Load: exactly(40), HTTP2: true, Streams: 1}
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
	c := bench.RequestConfig{URL: s.url, Client: s.client()}
	c.Load = bench.Load{Rate: 200, Connections: 4, Warmup: 100 * time.Millisecond, Duration: time.Second}
	r := requests(t, c)
	if r.Completed < 150 || r.Completed > 210 || r.Rate != 200 {
		t.Errorf("completed %d at rate %v, want about 200", r.Completed, r.Rate)
	}
	c.HTTP2 = true
	if r := requests(t, c); r.Completed < 150 || r.Completed > 210 || r.Failed > 0 || r.Lag.Max == 0 {
		t.Errorf("HTTP/2: completed %d, failed %d, lag %+v; want about 200, none and some", r.Completed, r.Failed, r.Lag)
	}
}

// TestFixedRateCountsTheQueue gives one connection twice the work that it can
// do: the last request of the window has waited for half of it.
func TestFixedRateCountsTheQueue(t *testing.T) {
	const pause = 20 * time.Millisecond
	s := startServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(pause) }))
	c := bench.RequestConfig{URL: s.url, Client: s.client()}
	c.Load = bench.Load{Rate: 100, Connections: 1, Warmup: -1, Duration: time.Second}
	r := requests(t, c)
	if most := 300_000.0; r.Latency.Max < most {
		t.Errorf("longest latency %v µs, want more than %v: time in the queue is not counted", r.Latency.Max, most)
	}
	c.Load.Rate = 0
	if r := requests(t, c); r.Latency.P50 > 200_000 {
		t.Errorf("without a rate the median is %v µs, want about %v", r.Latency.P50, pause)
	}
}

// TestStallIsSeen holds that an open loop does not omit what a closed one does: a
// server that stands still for a while delays every attempt that fell due
// meanwhile, not only those that it held.
func TestStallIsSeen(t *testing.T) {
	const stall = 500 * time.Millisecond
	var served atomic.Int64
	var gate sync.RWMutex
	s := startServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if served.Add(1) == 20 { // the proofs are over
			gate.Lock()
			time.AfterFunc(stall, gate.Unlock)
		}
		gate.RLock()
		defer gate.RUnlock()
	}))
	load := bench.Load{Rate: 100, Connections: 2, Warmup: -1, Duration: time.Second}
	check := func(name string, r *bench.Result) {
		t.Helper()
		// Half of the attempts fell due while the server stood still, two were held.
		if r.Latency.P90 < 200_000 || r.Latency.Max < 400_000 {
			t.Errorf("%s: %d completed, %d pending, latencies %+v", name, r.Completed, r.Pending, r.Latency)
		}
	}
	check("request", &requests(t, bench.RequestConfig{URL: s.url, Client: s.client(), Load: load}).Result)
	served.Store(0)
	check("http2", &requests(t, bench.RequestConfig{URL: s.url, Client: s.client(), Load: load, HTTP2: true, Streams: 3}).Result)
	served.Store(0)
	check("handshake", &handshake(t, bench.HandshakeConfig{Address: s.address, Client: s.client(), Load: load, TinyGET: true}).Result)
}

func TestNewConnectionForEachRequest(t *testing.T) {
	s := startServer(t, answer(200, 5))
	r := requests(t, bench.RequestConfig{URL: s.url, Client: s.client(), Load: exactly(30), NewConnections: true})
	if got := s.accepted.Load(); r.Completed != 30 || got < 31 || got > 33 {
		t.Errorf("completed %d over %d connections: %v", r.Completed, got, r.Errors)
	}
}

func TestRequestBodiesAndAnswersAreMeasured(t *testing.T) {
	s := startServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.(http.Flusher).Flush() // so that the answer is chunked
		fmt.Fprint(w, r.Method, n)
	}))
	c := bench.RequestConfig{URL: s.url, Client: s.client(), Load: exactly(20), BodyBytes: 100_000, AnswerBytes: len("POST100000")}
	if r := requests(t, c); r.Completed != 20 || r.BodyBytes != 10 {
		t.Errorf("completed %d of %d bytes: %v", r.Completed, r.BodyBytes, r.Errors)
	}
	c.AnswerBytes++
	if _, err := bench.Request(t.Context(), c); err == nil || !strings.Contains(err.Error(), "10 bytes, not 11") {
		t.Errorf("an answer of another length gave %v", err)
	}
}

func TestRequestsCheckNamesEveryFault(t *testing.T) {
	for _, tt := range []struct {
		config bench.RequestConfig
		path   string
	}{
		{bench.RequestConfig{URL: "ftp://a"}, "url"},
		{bench.RequestConfig{URL: "https://"}, "url"},
		{bench.RequestConfig{URL: "http://a", HTTP2: true}, "http2"},
		{bench.RequestConfig{URL: "https://a", Load: bench.Load{Rate: bench.MaxRate + 1}}, "rate"},
		{bench.RequestConfig{URL: "https://a", HTTP2: true, Streams: bench.MaxStreams + 1}, "streams"},
		{bench.RequestConfig{URL: "https://a", Streams: 2}, "streams"},
		{bench.RequestConfig{URL: "https://a", Load: bench.Load{Connections: -1}}, "connections"},
	} {
		_, err := bench.Request(t.Context(), tt.config)
		if faults := fault.All(err); len(faults) != 1 || faults[0].Path != tt.path {
			t.Errorf("%+v: got %v, want one fault at %s", tt.config, err, tt.path)
		}
	}
}

func TestRequestReportPrints(t *testing.T) {
	r := &bench.RequestReport{Result: bench.Result{Rate: 100}, Streams: 7, BodyBytes: 128, Negotiated: "TLS 1.3"}
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
