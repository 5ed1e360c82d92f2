package listener

import (
	"bufio"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// webManaged are the names that only the load balancer may send, each as the
// value of a header that the target would read.
func webManaged() []string {
	names := []string{"X-Forwarded-Proto", "X-Forwarded-Port", "X-Client-Dn", "X-Amzn-Mtls-Anything", "X-Amzn-Tls-Anything"}
	names = append(names, headerClientCert, headerClientCertChain, headerXFCC, headerVerdict, headerReason, headerFingerprint,
		headerSPIFFEID, headerOverflow, "X-Postern-Clientcert-Anything")
	defaults := managedDefaults()
	return append(names, defaults[:]...)
}

// webSpellings returns the ways to write a name that some target might read as it.
func webSpellings(name string) []string {
	lower := strings.ToLower(name)
	var mixed strings.Builder
	for i, b := range []byte(lower) {
		if i%2 == 0 {
			mixed.WriteByte(strings.ToUpper(string(rune(b)))[0])
		} else {
			mixed.WriteByte(b)
		}
	}
	return []string{
		name, lower, strings.ToUpper(name), mixed.String(),
		strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(lower, "-", "_"), strings.ReplaceAll(name, "-", "."),
		strings.Replace(name, "-", "_", 1), strings.Replace(lower, "-", ".", 1), name + "_", "_" + name,
		strings.ReplaceAll(name, "-", "--"), strings.ReplaceAll(lower, "-", "~"),
	}
}

// webRename renames one header of the client's, to a name outside the prefixes.
func webRename(cfg *Config) {
	cfg.Headers.SubjectName = "X-Client-Dn"
	cfg.Headers.TLSHeaders = true
}

type webSeen struct{ header, trailer http.Header }

func webSeer(t *testing.T) (target string, seen chan webSeen) {
	seen = make(chan webSeen, 4)
	return webTarget(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- webSeen{r.Header.Clone(), r.Trailer.Clone()}
	}), seen
}

// check fails if a client's value reached the target, or one of ours did not.
func (s webSeen) check(t *testing.T, spelling string, mode Mode, secure bool) {
	t.Helper()
	for _, h := range []http.Header{s.header, s.trailer} {
		for name, values := range h {
			if strings.Contains(strings.Join(values, " "), "evil") {
				t.Errorf("sent %q, and the target got %s: %q", spelling, name, values)
			}
		}
	}
	has := func(name string, want bool) {
		t.Helper()
		values := s.header[name]
		if want && (len(values) != 1 || values[0] == "") || !want && len(values) != 0 {
			t.Errorf("sent %q: the target got %s: %q, want one: %v", spelling, name, values, want)
		}
	}
	verify, passthrough := mode == ModeVerify, mode == ModePassthrough
	for _, name := range []string{"Serial-Number", "Issuer", "Validity", "Leaf"} {
		has("X-Amzn-Mtls-Clientcert-"+name, verify)
	}
	has("X-Amzn-Mtls-Clientcert-Subject", false) // renamed
	has("X-Client-Dn", verify)
	has("X-Amzn-Mtls-Clientcert", passthrough)
	has("X-Amzn-Tls-Version", secure)
	has("X-Amzn-Tls-Cipher-Suite", secure)
	has("X-Forwarded-Proto", true)
	has("X-Forwarded-Port", true)
	if verify && s.header.Get("X-Client-Dn") != "CN=web-client,O=Postern" {
		t.Errorf("subject %q", s.header.Get("X-Client-Dn"))
	}
}

func TestHTTPSpoof1(t *testing.T) {
	target, seen := webSeer(t)
	for _, mode := range []Mode{"", ModeOff, ModePassthrough, ModeVerify} {
		change := func(*Config) {}
		if mode != "" {
			change = webMode(mode)
		}
		w := webServe(t, target, change, webRename)
		conn := w.dial()
		r := bufio.NewReader(conn)
		ask := func(spelling, text string) {
			t.Helper()
			io.WriteString(conn, text)
			if res, _ := webAnswer(t, r, "POST"); res.StatusCode != 200 {
				t.Fatalf("sent %q: %s", spelling, res.Status)
			}
			(<-seen).check(t, spelling, mode, mode != "")
		}
		for _, name := range webManaged() {
			for _, s := range webSpellings(name) {
				ask(s, "POST / HTTP/1.1\r\nHost: a\r\n"+s+": evil\r\n"+s+": evil2\r\nContent-Length: 0\r\n\r\n")
				ask(s+" in a trailer", "POST / HTTP/1.1\r\nHost: a\r\nTrailer: "+s+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"+s+": evil\r\n\r\n")
				ask(s+" unannounced", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"+s+": evil\r\n\r\n")
				ask(s+" in Connection", "POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, "+s+"\r\nConnection: "+strings.ToUpper(s)+"\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
}

func TestHTTPSpoof2(t *testing.T) {
	target, seen := webSeer(t)
	for _, mode := range []Mode{ModeOff, ModePassthrough, ModeVerify} {
		w := webServe(t, target, webMode(mode), webRename)
		c := w.frames()
		for _, name := range webManaged() {
			for _, s := range webSpellings(strings.ToLower(name)) {
				s = strings.ToLower(s) // capitals are malformed in HTTP/2
				if status := c.ask(hpack.HeaderField{Name: s, Value: "evil"}, hpack.HeaderField{Name: s, Value: "evil2"}); status != "200" {
					t.Fatalf("sent %q: %s", s, status)
				}
				(<-seen).check(t, s, mode, true)
				c.headers(false, hpack.HeaderField{Name: "trailer", Value: s})
				c.trailers(hpack.HeaderField{Name: s, Value: "evil"})
				if status := c.status(); status != "200" {
					t.Fatalf("sent %q as a trailer: %s", s, status)
				}
				(<-seen).check(t, s+" in a trailer", mode, true)
			}
		}
		if status := c.ask(hpack.HeaderField{Name: "connection", Value: "x-amzn-mtls-clientcert-subject"}); status != "400" {
			t.Errorf("Connection in HTTP/2: %s, want 400", status)
		}
	}
}

func TestHTTPSpoofForwardedFor(t *testing.T) {
	target, seen := webSeer(t)
	for mode, want := range map[ForwardedMode]string{
		ForwardedAppend: "192.0.2.1, 192.0.2.2, 127.0.0.1", ForwardedPreserve: "192.0.2.1|192.0.2.2", ForwardedRemove: "",
	} {
		w := webServe(t, target, func(cfg *Config) { cfg.Headers.ForwardedFor = mode })
		w.raw("GET", "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-Proto\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n"+
			"X_Forwarded_For: evil\r\nX-Forwarded.For: evil\r\nX_Amzn_Trace_Id: evil\r\nX-Forwarded-Host: kept\r\n\r\n")
		got := <-seen
		if value := strings.Join(got.header["X-Forwarded-For"], "|"); value != want {
			t.Errorf("%s: X-Forwarded-For %q, want %q", mode, value, want)
		}
		for name, values := range got.header {
			if values[0] == "evil" {
				t.Errorf("%s: the target got %s: %q", mode, name, values)
			}
		}
		if got.header.Get("X-Forwarded-Host") != "kept" || got.header.Get("X-Forwarded-Proto") != "http" {
			t.Errorf("%s: %v", mode, got.header)
		}
	}
}

// A webFrames is an HTTP/2 connection of which the test writes each frame.
type webFrames struct {
	w      *web
	framer *http2.Framer
	block  *strings.Builder
	enc    *hpack.Encoder
	stream uint32 // the latest, odd
	goAway bool
}

func (w *web) frames() *webFrames {
	w.t.Helper()
	cfg := w.clientTLS()
	cfg.NextProtos = []string{"h2"}
	conn := w.dialTLS(cfg)
	io.WriteString(conn, http2.ClientPreface)
	c := &webFrames{w: w, stream: math.MaxUint32, framer: http2.NewFramer(conn, conn), block: new(strings.Builder)}
	c.enc = hpack.NewEncoder(c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.WriteSettings()
	return c
}

// headers opens a stream with a POST.
func (c *webFrames) headers(end bool, fields ...hpack.HeaderField) {
	c.stream += 2
	c.write(end, append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "web.example"}, {Name: ":path", Value: "/"},
	}, fields...))
}

func (c *webFrames) trailers(fields ...hpack.HeaderField) { c.write(true, fields) }

func (c *webFrames) write(end bool, fields []hpack.HeaderField) {
	c.block.Reset()
	for _, f := range fields {
		c.enc.WriteField(f)
	}
	c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.stream, BlockFragment: []byte(c.block.String()), EndStream: end, EndHeaders: true,
	})
}

// status reads until the current stream has ended and returns its status; a reset
// is told as "reset", and the end of the connection as "gone".
func (c *webFrames) status() string {
	status := ""
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return "gone"
		}
		ended := false
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == c.stream {
				status, ended = f.PseudoValue("status"), f.StreamEnded()
			}
		case *http2.DataFrame:
			ended = f.StreamID == c.stream && f.StreamEnded()
		case *http2.RSTStreamFrame:
			if f.StreamID == c.stream && status == "" {
				return "reset"
			}
			ended = f.StreamID == c.stream // a malformed request is answered, then reset
		case *http2.GoAwayFrame:
			c.goAway = true
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.framer.WriteSettingsAck()
			}
		}
		if ended {
			return status
		}
	}
}

func (c *webFrames) ask(fields ...hpack.HeaderField) string {
	c.headers(true, fields...)
	return c.status()
}
