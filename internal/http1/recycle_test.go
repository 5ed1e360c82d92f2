package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// describe is all that a handler can see of a request.
func describe(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	return fmt.Sprintf("%s %s %s %v %q %v %v %d %v %v %v", r.Method, r.RequestURI, r.URL, r.Proto, r.Host, sortedFields(nil, r.Header),
		string(body), r.ContentLength, err, sortedFields(nil, r.Trailer), r.Context().Err())
}

// TestRecycledRequestsSeeNothingOfOthers sends mixed requests over one connection
// and expects what a server sees that makes everything anew.
func TestRecycledRequestsSeeNothingOfOthers(t *testing.T) {
	kinds := []string{
		"GET /a?b HTTP/1.1\r\nHost: one\r\nX-Secret: of one\r\nCookie: a\r\nCookie: b\r\n\r\n",
		"POST /%41 HTTP/1.1\r\nHost: two\r\nContent-Length: 5\r\n\r\nhello",
		"POST /c HTTP/1.1\r\nHost: three\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n3\r\nabc\r\n0\r\nX-End: t\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: four\r\n\r\n",
		"HEAD /h HTTP/1.1\r\nHost: five\r\nX-Many: " + strings.Repeat("m", 5000) + "\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: six\r\n" + strings.Repeat("X-Line: y\r\n", 60) + "\r\n",
	}
	random := rand.New(rand.NewPCG(1, 2))
	var stream strings.Builder
	for range 200 {
		stream.WriteString(kinds[random.IntN(len(kinds))])
	}
	answer := func(recycle bool, piece int) string {
		n := 0
		s := &Server{Recycle: recycle, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			w.Header().Set("Date", "today")
			if n%3 == 0 {
				w.Header().Set("X-Of", r.Host)
			}
			if n%7 == 0 {
				w.(interface{ SetHeader(http.Header) }).SetHeader(http.Header{"Date": {"today"}})
			}
			io.WriteString(w, describe(r))
		})}
		return converse(s, &scriptConn{in: []byte(stream.String()), piece: piece})
	}
	for _, piece := range []int{0, 1, 100} {
		got, want := sortLines(answer(true, piece)), sortLines(answer(false, piece))
		if got != want {
			t.Fatalf("in pieces of %d the recycling server differs", piece)
		}
		if !strings.Contains(got, "X-Of: one") || strings.Count(got, "HTTP/1.1 200") != 200 {
			t.Fatal("the test sends less than it should")
		}
	}
}

// sortLines makes texts comparable whose headers stand in any order.
func sortLines(s string) string {
	lines := strings.Split(s, "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestRecycledContexts holds that the end of one request does not end another.
func TestRecycledContexts(t *testing.T) {
	s := &Server{Recycle: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if ctx.Err() != nil {
			t.Error("the request begins cancelled")
		}
		ended := make(chan struct{})
		stop := context.AfterFunc(ctx, func() { close(ended) })
		if r.URL.Path == "/cancel" {
			ctx.(*requestContext).End()
			<-ctx.Done()
			<-ended
			if stop() || !errors.Is(context.Cause(ctx), context.Canceled) {
				t.Error("a cancelled context is not cancelled")
			}
			return
		}
		if !stop() {
			t.Error("AfterFunc ran before the end")
		}
	})}
	in := strings.Repeat("GET /cancel HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 20)
	if out := converse(s, &scriptConn{in: []byte(in)}); strings.Count(out, "200 OK") != 40 {
		t.Errorf("got %q", out)
	}
}

// TestParentContextEndsRequests ends the connection's own context.
func TestParentContextEndsRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &Server{Recycle: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		select {
		case <-r.Context().Done():
			ended <- r.Context().Err()
		case <-time.After(10 * time.Second):
			ended <- nil
		}
	})}
	client, server := net.Pipe()
	go s.ServeConn(ctx, server)
	defer client.Close()
	go io.Copy(io.Discard, client)
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("the request does not see the end of its connection's context")
	}
}

// TestCallIsReused sends different requests by one Call, answered by a target that
// echoes them, and cancels some in between.
func TestCallIsReused(t *testing.T) {
	address := serveOn(t, handler(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Path", r.URL.Path)
		if r.URL.Path == "/extra" {
			w.Header().Set("X-Extra", "1")
		}
		io.WriteString(w, r.URL.Path+r.Header.Get("X-Own")+r.Header.Get("X-Field"))
	}))
	tr, c := new(Transport), new(Call)
	var fields Fields
	if err := fields.Add("X-Field", "f"); err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{"/a", "/extra", "/b", "/hang", "/c", "/extra", "/d"} {
		if i%2 == 0 {
			c.Fields = &fields
		}
		req, _ := http.NewRequest("GET", "http://"+address+path, nil)
		req.Header.Set("X-Field", "client's")
		var stop sync.WaitGroup
		if path == "/hang" {
			stop.Go(func() { time.Sleep(20 * time.Millisecond); c.Cancel(errTest) })
		}
		res, err := tr.Do(c, req)
		stop.Wait()
		if path == "/hang" {
			if !errors.Is(err, errTest) {
				t.Fatalf("a cancelled call returned %v", err)
			}
		} else {
			want := path + "client's"
			if i%2 == 0 {
				want = path + "f"
			}
			body, _ := io.ReadAll(res.Body)
			if got := string(body); got != want || res.Header.Get("X-Path") != path || (res.Header["X-Extra"] != nil) != (path == "/extra") {
				t.Fatalf("%s: got %q with %v, want %q", path, got, res.Header, want)
			}
			res.Body.Close()
		}
		if !c.Reset() {
			t.Fatalf("%s: the call cannot be used again", path)
		}
	}
}

var errTest = errors.New("enough")

// TestCallInUseIsNotReset holds that Reset refuses while something is going on.
func TestCallInUseIsNotReset(t *testing.T) {
	address := serveOn(t, handler(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 100<<10))
	}))
	c := new(Call)
	req, _ := http.NewRequest("GET", "http://"+address, nil)
	res, err := new(Transport).Do(c, req)
	if err != nil {
		t.Fatal(err)
	}
	if c.Reset() {
		t.Error("reset with an open body")
	}
	res.Body.Close()
	if !c.Reset() {
		t.Error("not reset with a closed body")
	}
	body, send := io.Pipe()
	defer send.Close()
	req, _ = http.NewRequest("POST", "http://"+address, body)
	if res, err = new(Transport).Do(c, req); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if c.Reset() {
		t.Error("reset while the request's body is being sent")
	}
}

// TestFieldsAreChecked holds that nothing can be smuggled into prepared headers.
func TestFieldsAreChecked(t *testing.T) {
	for name, value := range map[string]string{
		"X-A": "b\r\nX-C: d", "X-B": "a\x00", "x-lower": "a", "X A": "a", "": "a", "Content-Length": "5",
		"Transfer-Encoding": "chunked", "Host": "h", "X:": "a",
	} {
		var f Fields
		if f.Add(name, value) == nil || len(f.text) > 0 {
			t.Errorf("%q: %q is accepted", name, value)
		}
	}
}
