package listener

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func webSocketTarget(t *testing.T) string {
	t.Helper()
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	return webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, http.Header{"X-Subject": r.Header["X-Amzn-Mtls-Clientcert-Subject"]})
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if conn.WriteMessage(kind, append([]byte("echo "), message...)) != nil {
				return
			}
		}
	})
}

func (w *web) socket() (*websocket.Conn, *http.Response) {
	w.t.Helper()
	d := websocket.Dialer{TLSClientConfig: w.clientTLS(), HandshakeTimeout: webWait}
	conn, res, err := d.Dial(strings.Replace(w.url("/socket"), "http", "ws", 1), nil)
	if err != nil {
		w.t.Fatalf("dialling: %v, %v", err, res)
	}
	conn.SetReadDeadline(time.Now().Add(webWait))
	return conn, res
}

func TestWebSocket(t *testing.T) {
	target := webSocketTarget(t)
	for kind, change := range map[string]func(*Config){"ws": func(*Config) {}, "wss": webMode(ModeVerify)} {
		t.Run(kind, func(t *testing.T) {
			w := webServe(t, target, change, func(cfg *Config) { cfg.Responses.XFrameOptions = "DENY" })
			conn, res := w.socket()
			if got := res.Header.Get("X-Frame-Options"); got != "DENY" {
				t.Errorf("X-Frame-Options of the 101 is %q", got)
			}
			if got := res.Header.Get("X-Subject"); (got != "") != (kind == "wss") {
				t.Errorf("the target was told subject %q", got)
			}
			large := strings.Repeat("x", 100_000)
			for _, message := range []string{"one", "two", large} {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.ReadMessage(); err != nil || string(got) != "echo "+message {
					t.Fatalf("got %.20q, %v", got, err)
				}
			}
			if lines := w.access.all(); len(lines) > 0 {
				t.Errorf("logged before the end: %q", lines)
			}
			if got := w.gauge(); got != 1 {
				t.Errorf("%v connections are counted, want 1", got)
			}
			conn.Close()
			line := w.line(1)
			webWant(t, line, map[int]string{1: kind, 5: target, 9: "101", 10: "101", 21: "0", 23: "forward"})
			if len(line[11]) < 6 || len(line[12]) < 6 {
				t.Errorf("received and sent bytes %s and %s", line[11], line[12])
			}
			w.wantNoConnections()
		})
	}
}

// gauge returns how many connections the metrics say are open.
func (w *web) gauge() float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.GetName(), "active_connection") {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	w.t.Fatal("no gauge of active connections")
	return 0
}

// wantNoConnections waits until all are counted out, and checks that none was
// twice.
func (w *web) wantNoConnections() {
	w.t.Helper()
	webEventually(w.t, "the connection is counted out", func() bool { return w.gauge() == 0 && w.l.open.Load() == 0 })
	if live := w.l.live.list(); len(live) != 0 {
		w.t.Errorf("%d connections are still in the live set", len(live))
	}
	time.Sleep(20 * time.Millisecond)
	if w.gauge() != 0 || w.l.open.Load() != 0 {
		w.t.Errorf("counted out more than once: gauge %v, open %d", w.gauge(), w.l.open.Load())
	}
}

func TestWebSocketIdleTimeout(t *testing.T) {
	const idle = 400 * time.Millisecond
	w := webServe(t, webSocketTarget(t), webHTTPS, webIdle(idle))
	conn, _ := w.socket()
	defer conn.Close()
	for range 6 { // longer than idle in all
		conn.WriteMessage(websocket.TextMessage, []byte("x"))
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatalf("closed while in use: %v", err)
		}
		time.Sleep(idle / 4)
	}
	if _, message, err := conn.ReadMessage(); err == nil {
		t.Fatalf("got %q, want the end", message)
	}
	webWant(t, w.line(1), map[int]string{1: "wss", 9: "101"})
	w.wantNoConnections()
}

// Bytes that a client sends without waiting for the 101 belong to the tunnel.
func TestWebSocketEarlyBytes(t *testing.T) {
	target := webScript(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		b := make([]byte, 5)
		io.ReadFull(conn, b)
		conn.Write(b)
	})
	w := webServe(t, target)
	conn := w.dial()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nearly")
	r := bufio.NewReader(conn)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	if got, _ := io.ReadAll(r); string(got) != "early" {
		t.Errorf("through the tunnel came %q", got)
	}
	conn.Close() // what the target has ended is one direction only
	w.line(1)
}

// TestTunnelHalfClose ends the direction to the target and still gets its answer.
func TestTunnelHalfClose(t *testing.T) {
	target := webScript(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		all, _ := io.ReadAll(conn)
		conn.Write(append([]byte("got all of "), all[len(all)-4:]...))
	})
	w := webServe(t, target)
	conn := w.dial()
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	io.WriteString(conn, "this")
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(r); string(got) != "got all of this" {
		t.Errorf("after the half-close came %q", got)
	}
	w.line(1)
}

// A target that refuses an upgrade gets no tunnel, and no other protocol than
// WebSocket is offered to it.
func TestWebSocketRefusedAndOthers(t *testing.T) {
	seen := make(chan http.Header, 1)
	target := webTarget(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		w.WriteHeader(http.StatusTeapot)
	})
	for upgrade, want := range map[string]string{
		"websocket": "websocket", "h2c": "", "TLS/1.2": "", "websocket, h2c": "", "foo": "",
	} {
		w := webServe(t, target)
		conn := w.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nUpgrade: "+upgrade+
			"\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		r := bufio.NewReader(conn)
		for range 2 {
			if res, _ := webAnswer(t, r, "GET"); res.StatusCode != http.StatusTeapot {
				t.Errorf("%s: %s", upgrade, res.Status)
			}
			got := <-seen
			if got.Get("Upgrade") != want || got.Get("Http2-Settings") != "" {
				t.Errorf("%s: the target got %v", upgrade, got)
			}
			want = "" // of the second request
		}
	}
}
