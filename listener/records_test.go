package listener

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A hoarder keeps what is written to it until release sends it.
type hoarder struct {
	net.Conn
	held []byte
	hold bool
}

func (h *hoarder) Write(b []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(b)
	}
	h.held = append(h.held, b...)
	return len(b), nil
}

// release sends what was held, in pieces that end at the cuts.
func (h *hoarder) release(cuts ...int) {
	from := 0
	for _, to := range append(cuts, len(h.held)) {
		h.Conn.Write(h.held[from:to])
		from = to
		time.Sleep(5 * time.Millisecond) // so that the pieces arrive apart
	}
	h.held = nil
}

// TestRequestsInAnyRecords sends requests whose bytes are split over TLS records and
// TCP segments in many ways, each several times on one connection: none may be left
// waiting inside TLS while the server waits for the socket.
func TestRequestsInAnyRecords(t *testing.T) {
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	w := webServe(t, target, webHTTPS)
	config := w.clientTLS()
	config.NextProtos = []string{"http/1.1"}
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: web.example\r\n\r\n" }
	for name, records := range map[string][]string{
		"one each":         {request("/1"), request("/2"), request("/3")},
		"all in one":       {request("/1") + request("/2") + request("/3")},
		"in the middle":    {request("/1")[:10], request("/1")[10:] + request("/2")[:9], request("/2")[9:] + request("/3")},
		"tiny":             strings.Split(request("/1")+request("/2")+request("/3"), ""),
		"a long one first": {"GET /1 HTTP/1.1\r\nHost: web.example\r\nX: " + strings.Repeat("x", 15000) + "\r\n\r\n", request("/2"), request("/3")},
		"of 16 bytes":      {request("/1")[:16], request("/1")[16:], request("/2"), request("/3")},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hoarder{Conn: w.dialTCP()}
			conn := tls.Client(h, config.Clone())
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			for round := range 6 {
				h.hold = true
				for _, record := range records {
					io.WriteString(conn, record)
				}
				h.hold = false
				h.release(map[int][]int{1: {1}, 2: {len(h.held) / 2}, 3: {len(h.held) - 1}, 4: {3, 40, 41}}[round]...)
				for _, path := range []string{"/1", "/2", "/3"} {
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatalf("round %d, %s: %v", round, path, err)
					}
					if body, _ := io.ReadAll(res.Body); string(body) != path {
						t.Fatalf("round %d: got the answer to %s, want %s", round, body, path)
					}
				}
			}
		})
	}
}

// FuzzRecordTracker compares it with a reader that has all bytes before it.
func FuzzRecordTracker(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 0}, uint16(3))
	f.Add([]byte{23, 3, 3, 0, 200}, uint16(0x1234))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint16) {
		var tracker recordTracker
		done, before := 0, 0
		for done < len(stream) {
			seed = seed*31 + 7
			n := min(1+int(seed%9), len(stream)-done)
			tracker.saw(stream[done:done+n], n)
			done += n
			records, rest := wholeRecords(stream[:done])
			if want := rest == 0 && records-before <= 1; tracker.drained() != want {
				t.Fatalf("after %d bytes drained is %v, want %v", done, !want, want)
			}
			before = records
		}
	})
}

// wholeRecords counts the records that are complete, and the bytes after them.
func wholeRecords(b []byte) (records, rest int) {
	for len(b) >= recordHeaderLen {
		size := recordHeaderLen + int(b[3])<<8 + int(b[4])
		if len(b) < size {
			break
		}
		records++
		b = b[size:]
	}
	return records, len(b)
}
