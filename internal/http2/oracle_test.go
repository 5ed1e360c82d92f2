package http2

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// script is a handler that does what the request's query says, and tells in its
// answer what it saw of the request.
func script(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var body int64
	var readErr error
	if q.Has("read") {
		body, readErr = io.Copy(io.Discard, r.Body)
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Date", "now")
	h["X-Many"] = []string{"1", "2"}
	if q.Has("announce") {
		h.Set("Trailer", "X-Sum, X-None")
	}
	if n := q.Get("length"); n != "" {
		h.Set("Content-Length", n)
	}
	if q.Has("early") {
		w.WriteHeader(http.StatusEarlyHints)
	}
	if status, _ := strconv.Atoi(q.Get("status")); status > 0 {
		w.WriteHeader(status)
	}
	if q.Has("flush") {
		http.NewResponseController(w).Flush()
	}
	if q.Has("tell") {
		fmt.Fprintln(w, r.Method, r.RequestURI, r.URL.Path, r.Proto, r.ContentLength, body, readErr)
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintln(w, name, r.Header[name])
		}
		fmt.Fprintln(w, r.Trailer)
	}
	n, _ := strconv.Atoi(q.Get("size"))
	for n > 0 {
		piece := min(n, 3000+n%7000)
		if _, err := w.Write([]byte(strings.Repeat("x", piece))); err != nil {
			break
		}
		n -= piece
	}
	h.Set("X-Sum", "42")
	if q.Has("prefix") {
		h.Set(http.TrailerPrefix+"X-Late", "yes")
	}
	if q.Has("abort") {
		panic(http.ErrAbortHandler)
	}
}

// TestOracle asks our server and net/http's the same and compares what a client sees.
func TestOracle(t *testing.T) {
	ours, addr := serve(t, &Server{Handler: http.HandlerFunc(script)})
	theirs, oracle := serveOracle(t, http.HandlerFunc(script))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		method, path, size := randomRequest(random)
		answers := [2]string{}
		for j, server := range []struct {
			client *http.Client
			addr   string
		}{{ours, addr}, {theirs, oracle}} {
			answers[j] = exchangeWith(t, server.client, server.addr, method, path, size)
		}
		if answers[0] != answers[1] {
			t.Fatalf("request %d: %s %s with %d bytes\nours:   %.600s\ntheirs: %.600s", i, method, path, size, answers[0], answers[1])
		}
	}
}

func randomRequest(random *rand.Rand) (method, path string, size int) {
	method = []string{"GET", "POST", "HEAD", "PUT", "DELETE"}[random.IntN(5)]
	var words []string
	for _, word := range []string{"read", "announce", "flush", "tell", "prefix", "early"} {
		if random.IntN(3) == 0 {
			words = append(words, word)
		}
	}
	n := []int{0, 1, 128, 5000, 70_000, 300_000}[random.IntN(6)]
	words = append(words, fmt.Sprintf("size=%d", n))
	switch random.IntN(8) {
	case 0:
		words = append(words, fmt.Sprintf("status=%d", []int{204, 304, 404, 500, 200}[random.IntN(5)]))
	case 1:
		if method != "HEAD" { // whose answer may be complete by then
			words = append(words, "abort")
		}
	}
	// net/http sends a length with 204, which clients take for an error.
	if !slices.Contains(words, "tell") && !slices.Contains(words, "status=204") && random.IntN(3) == 0 {
		words = append(words, fmt.Sprintf("length=%d", n+max(0, random.IntN(6)-4)*100))
	}
	if method != "GET" && method != "HEAD" {
		size = []int{0, 1, 1000, 100_000, 2_000_000}[random.IntN(5)]
		words = append(words, "read") // an early answer races with the body
	}
	return method, "/a%20b/c?" + strings.Join(words, "&"), size
}

// exchangeWith returns all that a client can see of an answer.
func exchangeWith(t *testing.T, client *http.Client, addr, method, path string, size int) string {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "oracle.example"
	req.Header["Cookie"] = []string{"a=b", "c=d"}
	if size > 0 {
		req.Body = io.NopCloser(strings.NewReader(strings.Repeat("y", size)))
		if size%2 == 0 {
			req.ContentLength = int64(size)
		}
		req.Trailer = http.Header{"X-Client": {"trailer"}}
	}
	res, err := client.Do(req)
	if err != nil {
		return "cut off"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil { // how much has come by then is chance
		return "cut off"
	}
	if !strings.Contains(path, "length=") { // when a length is added depends on the size of a buffer
		delete(res.Header, "Content-Length")
	}
	if strings.Contains(path, "announce") { // net/http sends an announced trailer as a header too if it is set early
		delete(res.Header, "X-Sum")
	}
	if !bodyAllowed(res.StatusCode) { // net/http sends trailers after no content
		res.Trailer = nil
	}
	told, _, _ := strings.Cut(string(body), "xxxx")
	return fmt.Sprint(res.Status, res.Proto, res.Header, len(body), told, res.Trailer)
}

// serveOracle starts net/http's server.
func serveOracle(t testing.TB, handler http.Handler) (*http.Client, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, ln.Addr().String()
}
