package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/postern-lb/postern/internal/fault"
)

const testEndpoint = "vpce-0123456789abcdef0"

// proxyHeader is what a load balancer sends for a client at 192.0.2.7:4711.
func proxyHeader(t testing.TB, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	return formatHeader(t, proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.7:4711")),
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:443"))), tlvs...)
}

// proxyHeader6 is the same for IPv6.
func proxyHeader6(t testing.TB, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	return formatHeader(t, proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::7]:4711")),
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::1]:443"))), tlvs...)
}

func formatHeader(t testing.TB, h *proxyproto.Header, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	raw, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func endpointTLV(id string) proxyproto.TLV {
	return proxyproto.TLV{Type: 0xEA, Value: append([]byte{1}, id...)}
}

// withCRC fills in the checksum TLV that is last in header.
func withCRC(header []byte) []byte {
	sum := header[len(header)-4:]
	clear(sum)
	binary.BigEndian.PutUint32(sum, crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	return header
}

func requireFrom(t testing.TB, timeout time.Duration, sources ...string) *ProxyProtocol {
	t.Helper()
	p, err := NewProxyProtocol(ProxyProtocolConfig{Mode: "require", TrustedSources: sources, HeaderTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// acceptFrom lets client write on one end of a real connection and returns what
// Accept made of the other.
func acceptFrom(t *testing.T, p *ProxyProtocol, client func(net.Conn)) (net.Conn, net.Conn, ProxyInfo, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sender, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		client(sender)
	}()
	t.Cleanup(func() {
		raw.Close()
		sender.Close()
		<-written
	})
	conn, info, err := p.Accept(raw)
	return raw, conn, info, err
}

func send(parts ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		for _, part := range parts {
			if _, err := c.Write(part); err != nil {
				return // the server refused: its error is what is tested
			}
		}
	}
}

func TestProxyHeaderIsBelieved(t *testing.T) {
	p := requireFrom(t, 0, "127.0.0.0/8")
	crc := proxyproto.TLV{Type: proxyproto.PP2_TYPE_CRC32C, Value: make([]byte, 4)}
	v6 := withCRC(proxyHeader6(t, endpointTLV(testEndpoint), crc))
	padding := proxyproto.TLV{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, 90)}
	fill := proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_CLIENT_CERT, Value: make([]byte, MaxProxyHeaderLength-12-3)}
	for _, tt := range []struct {
		name   string
		header []byte
		want   ProxyInfo
	}{
		{"plain", proxyHeader(t), proxyInfo("192.0.2.7:4711", "198.51.100.1:443", "")},
		{"endpoint id", proxyHeader(t, endpointTLV(testEndpoint)), proxyInfo("192.0.2.7:4711", "198.51.100.1:443", testEndpoint)},
		{"IPv6", v6, proxyInfo("[2001:db8::7]:4711", "[2001:db8::1]:443", testEndpoint)},
		{"checksum after padding", withCRC(proxyHeader(t, padding, crc)), proxyInfo("192.0.2.7:4711", "198.51.100.1:443", "")},
		{"another of AWS's TLVs", proxyHeader(t, proxyproto.TLV{Type: 0xEA, Value: []byte{2, 0xff}}), proxyInfo("192.0.2.7:4711", "198.51.100.1:443", "")},
		{"as long as allowed", proxyHeader(t, fill), proxyInfo("192.0.2.7:4711", "198.51.100.1:443", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, conn, info, err := acceptFrom(t, p, send(append(tt.header, "hello"...)))
			if err != nil || info != tt.want {
				t.Fatalf("got %+v, %v, want %+v", info, err, tt.want)
			}
			if conn.RemoteAddr().String() != tt.want.Source.String() || conn.LocalAddr().String() != tt.want.Destination.String() {
				t.Errorf("the connection is from %v to %v", conn.RemoteAddr(), conn.LocalAddr())
			}
			if under := conn.(interface{ NetConn() net.Conn }).NetConn(); under != raw {
				t.Errorf("NetConn() = %T, want the raw connection", under)
			}
			expectRest(t, conn, "hello")
		})
	}
}

func proxyInfo(source, destination, endpoint string) ProxyInfo {
	return ProxyInfo{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination), VPCEndpointID: endpoint}
}

func expectRest(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("after the header came %q, %v, want %q", got, err, want)
	}
}

func TestProxyHeaderByteByByte(t *testing.T) {
	p := requireFrom(t, 10*time.Second, "127.0.0.1/32")
	_, conn, info, err := acceptFrom(t, p, func(c net.Conn) {
		for _, b := range append(proxyHeader(t, endpointTLV(testEndpoint)), "hello"...) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	})
	if err != nil || info.VPCEndpointID != testEndpoint {
		t.Fatalf("got %+v, %v", info, err)
	}
	expectRest(t, conn, "hello")
}

// The deadline is for the header alone: afterwards the client may be silent for
// longer.
func TestProxyHeaderDeadlineIsCleared(t *testing.T) {
	const timeout = 100 * time.Millisecond
	_, conn, _, err := acceptFrom(t, requireFrom(t, timeout, "127.0.0.1/32"), func(c net.Conn) {
		send(proxyHeader(t))(c)
		time.Sleep(3 * timeout)
		send([]byte("late"))(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	expectRest(t, conn, "late")
}

func TestProxyLocalKeepsTheRawAddress(t *testing.T) {
	local := &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	spoof := proxyHeader(t, endpointTLV(testEndpoint))
	spoof[12] = 0x20 // LOCAL with an address block: it must be skipped
	for name, header := range map[string][]byte{"empty": formatHeader(t, local), "with addresses": spoof} {
		t.Run(name, func(t *testing.T) {
			raw, conn, info, err := acceptFrom(t, requireFrom(t, 0, "127.0.0.1/32"), send(header, []byte("hello")))
			if err != nil {
				t.Fatal(err)
			}
			want := proxyInfo(raw.RemoteAddr().String(), raw.LocalAddr().String(), "")
			want.Local = true
			if info != want || conn != raw {
				t.Errorf("got %+v and %T, want %+v and the raw connection", info, conn, want)
			}
			expectRest(t, conn, "hello")
		})
	}
}

func TestProxyRefusals(t *testing.T) {
	const timeout = 200 * time.Millisecond
	change := func(at int, b byte) []byte {
		header := proxyHeader(t)
		header[at] = b
		return header
	}
	crc := proxyproto.TLV{Type: proxyproto.PP2_TYPE_CRC32C, Value: make([]byte, 4)}
	badCRC, badCRC6 := withCRC(proxyHeader(t, crc)), withCRC(proxyHeader6(t, crc))
	badCRC[19]++ // another source address than was summed
	badCRC6[31]++
	huge := append(change(14, 0xff), make([]byte, 1<<16)...)
	overlong := proxyHeader(t, proxyproto.TLV{Type: 0xE0, Value: make([]byte, MaxProxyHeaderLength-12-3+1)})
	cutTLV := proxyHeader(t, endpointTLV(testEndpoint))
	cutTLV[16+12+2]++ // the TLV says one byte more than there is
	silent := func(net.Conn) {}
	drip := func(c net.Conn) {
		for _, b := range proxyHeader(t) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(timeout / 10)
		}
	}
	hangUp := func(n int) func(net.Conn) {
		return func(c net.Conn) {
			send(proxyHeader(t)[:n])(c)
			c.Close()
		}
	}
	for _, tt := range []struct {
		name   string
		source string
		client func(net.Conn)
		want   ProxyReason
	}{
		{"header from elsewhere", "10.0.0.0/8", send(proxyHeader(t)), ProxyUntrustedSource},
		{"no header from elsewhere", "10.0.0.0/8", send([]byte("GET / HTTP/1.1\r\n\r\n")), ProxyUntrustedSource},
		{"no header", "127.0.0.1/32", send([]byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")), ProxyHeaderMissing},
		{"version 1", "127.0.0.1/32", send([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n")), ProxyHeaderMissing},
		{"TLS without a header", "127.0.0.1/32", send([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), make([]byte, 99)), ProxyHeaderMissing},
		{"nothing at all", "127.0.0.1/32", hangUp(0), ProxyHeaderMissing},
		{"silent", "127.0.0.1/32", silent, ProxyHeaderTimedOut},
		{"a byte at a time, for too long", "127.0.0.1/32", drip, ProxyHeaderTimedOut},
		{"hangs up in the prefix", "127.0.0.1/32", hangUp(15), ProxyHeaderMissing},
		{"hangs up in the addresses", "127.0.0.1/32", hangUp(20), ProxyHeaderMalformed},
		{"64 KiB of TLVs", "127.0.0.1/32", send(huge), ProxyHeaderTooLong},
		{"one byte too long", "127.0.0.1/32", send(overlong), ProxyHeaderTooLong},
		{"version 3", "127.0.0.1/32", send(change(12, 0x31)), ProxyHeaderMalformed},
		{"unknown command", "127.0.0.1/32", send(change(12, 0x22)), ProxyHeaderMalformed},
		{"UDP", "127.0.0.1/32", send(change(13, 0x12)), ProxyHeaderMalformed},
		{"no transport", "127.0.0.1/32", send(change(13, 0x13)), ProxyHeaderMalformed},
		{"unspecified family", "127.0.0.1/32", send(change(13, 0x00)), ProxyHeaderMalformed},
		{"too short for its addresses", "127.0.0.1/32", send(change(15, 11)), ProxyHeaderMalformed},
		{"IPv6 in the space of IPv4", "127.0.0.1/32", send(change(13, 0x21)), ProxyHeaderMalformed},
		{"TLV beyond the end", "127.0.0.1/32", send(cutTLV), ProxyHeaderMalformed},
		{"wrong checksum", "127.0.0.1/32", send(badCRC), ProxyHeaderMalformed},
		{"wrong checksum, IPv6", "127.0.0.1/32", send(badCRC6), ProxyHeaderMalformed},
		{"checksum of two bytes", "127.0.0.1/32", send(proxyHeader(t, proxyproto.TLV{Type: 3, Value: []byte{0, 0}})), ProxyHeaderMalformed},
		{"endpoint id with a newline", "127.0.0.1/32", send(proxyHeader(t, endpointTLV("vpce-1\nx"))), ProxyHeaderMalformed},
		{"empty endpoint id", "127.0.0.1/32", send(proxyHeader(t, endpointTLV(""))), ProxyHeaderMalformed},
		{"long endpoint id", "127.0.0.1/32", send(proxyHeader(t, endpointTLV(strings.Repeat("a", MaxVPCEndpointID+1)))), ProxyHeaderMalformed},
		{"two endpoint ids", "127.0.0.1/32", send(proxyHeader(t, endpointTLV("vpce-1"), endpointTLV("vpce-2"))), ProxyHeaderMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			_, conn, info, err := acceptFrom(t, requireFrom(t, timeout, tt.source), tt.client)
			var refusal *ProxyError
			if !errors.As(err, &refusal) || refusal.Reason != tt.want || conn != nil || info != (ProxyInfo{}) {
				t.Errorf("got %v, %+v, %v, want only the reason %s", conn, info, err, tt.want)
			}
			if took := time.Since(begin); took > 10*timeout {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestProxyProtocolOff(t *testing.T) {
	p, err := NewProxyProtocol(ProxyProtocolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	header := proxyHeader(t)
	raw, conn, info, err := acceptFrom(t, p, send(header))
	if err != nil || conn != raw || info != proxyInfo(raw.RemoteAddr().String(), raw.LocalAddr().String(), "") {
		t.Fatalf("got %T, %+v, %v", conn, info, err)
	}
	expectRest(t, conn, string(header)) // not consumed: to TLS it is garbage
}

func TestNewProxyProtocolRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  ProxyProtocolConfig
		path string
	}{
		{ProxyProtocolConfig{Mode: "optional"}, "mode"},
		{ProxyProtocolConfig{Mode: "require"}, "trusted_sources"},
		{ProxyProtocolConfig{TrustedSources: []string{"10.0.0.0/8"}}, "trusted_sources"},
		{ProxyProtocolConfig{Mode: "require", TrustedSources: []string{"10.0.0.0/8", "10.0.0.1"}}, "trusted_sources[1]"},
		{ProxyProtocolConfig{Mode: "require", TrustedSources: []string{"10.0.0.1/8"}}, "trusted_sources[0]"},
		{ProxyProtocolConfig{Mode: "require", TrustedSources: []string{"::ffff:10.0.0.0/104"}}, "trusted_sources[0]"},
		{ProxyProtocolConfig{HeaderTimeout: -1}, "header_timeout"},
		{ProxyProtocolConfig{HeaderTimeout: MaxProxyHeaderTimeout + 1}, "header_timeout"},
	} {
		p, err := NewProxyProtocol(tt.cfg)
		if faults := fault.All(err); p != nil || len(faults) != 1 || faults[0].Path != tt.path {
			t.Errorf("%+v: got %v, %v, want one fault at %s", tt.cfg, p, err, tt.path)
		}
	}
}

// Whatever a trusted but broken sender writes: nothing panics, nothing is read
// past the header, and what is accepted is well formed.
func FuzzProxyHeader(f *testing.F) {
	f.Add(proxyHeader(f))
	f.Add(proxyHeader(f, endpointTLV(testEndpoint)))
	f.Add(withCRC(proxyHeader(f, proxyproto.TLV{Type: 3, Value: make([]byte, 4)})))
	f.Add(append(proxyHeader(f), 0x04, 0, 0))
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		header, err := readProxyHeader(r)
		if err != nil {
			if _, ok := errors.AsType[*ProxyError](err); !ok || header != nil {
				t.Fatalf("got %x, %T", header, err)
			}
			return
		}
		if !bytes.Equal(header, sent[:len(sent)-r.Len()]) {
			t.Fatalf("read %d bytes for a header of %d", len(sent)-r.Len(), len(header))
		}
		var info ProxyInfo
		if info.apply(header) != nil || info.Local {
			return
		}
		if !info.Source.IsValid() || !info.Destination.IsValid() || info.Source.Addr().Is4In6() {
			t.Fatalf("addresses %v, %v", info.Source, info.Destination)
		}
		if len(info.VPCEndpointID) > MaxVPCEndpointID || strings.Trim(info.VPCEndpointID, "-"+alphanumeric) != "" {
			t.Fatalf("endpoint id %q", info.VPCEndpointID)
		}
	})
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
