package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/targetgroup"
)

// echoTarget answers with what it was asked: the id in the path, in a header and in
// the body, in one of several framings, after a while, or it breaks off.
func echoTarget(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Id")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("X-Answer", id)
	n, _ := strconv.Atoi(id)
	switch n % 7 {
	case 0:
		time.Sleep(time.Duration(n%5) * time.Millisecond)
	case 1:
		io.WriteString(w, id)
		http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond)
		fmt.Fprintf(w, " %s %s", r.URL.Path, body)
		return
	case 2:
		w.Header().Set("X-Only-"+id, id)
	case 3:
		w.Header().Set("Content-Length", "100000")
		io.WriteString(w, id)
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %s %s", id, r.URL.Path, body)
}

// TestNoAnswerIsAnothers sends requests over many connections at once, gives up some
// of them in the middle, and holds every answer against its request. Objects and
// connections change hands all the time meanwhile.
func TestNoAnswerIsAnothers(t *testing.T) {
	t.Run("targets=HTTP1", func(t *testing.T) {
		storm(t, webServe(t, webTarget(t, echoTarget), webHTTPS), 1, 2)
	})
	t.Run("targets=HTTP2", func(t *testing.T) {
		group := webGroupOf("main", plainHTTP2Target(t, echoTarget))
		group.ProtocolVersion = targetgroup.HTTP2
		storm(t, webServe(t, "", webHTTPS, func(cfg *Config) { cfg.Backends["main"] = webGroup(t, group) }), 2, 2)
	})
}

// plainHTTP2Target speaks HTTP/2 without TLS.
func plainHTTP2Target(t *testing.T, h http.HandlerFunc) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: protocols}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// storm asks w by clients of two versions of HTTP.
func storm(t *testing.T, w *web, versions ...int) {
	var id atomic.Int64
	var wg sync.WaitGroup
	for worker := range 12 {
		client := w.client(versions[worker%len(versions)])
		random := rand.New(rand.NewPCG(uint64(worker), 7))
		wg.Go(func() {
			for range 150 {
				askForEcho(t, w, client, random, int(id.Add(1)))
			}
		})
	}
	wg.Wait()
}

func askForEcho(t *testing.T, w *web, client *http.Client, random *rand.Rand, id int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text := ""
	var body io.Reader
	if random.IntN(3) == 0 {
		text = strings.Repeat(strconv.Itoa(id)+"-", 1+random.IntN(5000))
		body = strings.NewReader(text)
	}
	req := w.request("PUT", fmt.Sprintf("/of/%d", id), body).WithContext(ctx)
	req.Header.Set("X-Id", strconv.Itoa(id))
	if random.IntN(5) == 0 {
		time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel)
	}
	res, err := client.Do(req)
	if err != nil {
		return // given up, or what the target broke off
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return
	}
	if got := res.Header.Get("X-Answer"); got != strconv.Itoa(id) {
		t.Errorf("request %d got the headers of %s", id, got)
	}
	for name := range res.Header {
		if only, ok := strings.CutPrefix(name, "X-Only-"); ok && only != strconv.Itoa(id) {
			t.Errorf("request %d got header %s", id, name)
		}
	}
	answer, err := io.ReadAll(res.Body)
	want := fmt.Sprintf("%d /of/%d %s", id, id, text)
	if err == nil && string(answer) != want || !strings.HasPrefix(want, string(answer)) {
		t.Errorf("request %d got %.80q, want %.80q", id, answer, want)
	}
}

// TestPipelinedAnswersInOrder sends requests ahead and gives up the connection in the
// middle, many times, beside others that do not.
func TestPipelinedAnswersInOrder(t *testing.T) {
	w := webServe(t, webTarget(t, echoTarget), webHTTPS)
	config := w.clientTLS()
	config.NextProtos = []string{"http/1.1"}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for round := range 10 {
				conn := tls.Client(w.dialTCP(), config.Clone())
				pipeline(t, conn, 1000*worker+10*round, worker%2 == 0)
				conn.Close()
			}
		})
	}
	wg.Wait()
}

func pipeline(t *testing.T, conn *tls.Conn, first int, whole bool) {
	var requests strings.Builder
	var ids []int
	for id := first; len(ids) < 5; id++ {
		if id%7 == 3 { // the target would break off
			continue
		}
		ids = append(ids, id)
		fmt.Fprintf(&requests, "GET /of/%d HTTP/1.1\r\nHost: web.example\r\nX-Id: %d\r\n\r\n", id, id)
	}
	if _, err := io.WriteString(conn, requests.String()); err != nil {
		t.Error(err)
		return
	}
	if !whole {
		ids = ids[:2]
	}
	r := bufio.NewReader(conn)
	for _, id := range ids {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("answer to %d: %v", id, err)
			return
		}
		body, err := io.ReadAll(res.Body)
		if want := fmt.Sprintf("%d /of/%d ", id, id); err != nil || string(body) != want {
			t.Errorf("got %q (%v), want %q", body, err, want)
			return
		}
	}
}
