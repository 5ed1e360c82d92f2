package listener

import (
	"crypto/tls"
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// albConnExpression is the expression of AWS's table for Athena (Athena, Create
// the table for ALB connection logs). It must match the whole line.
var albConnExpression = regexp.MustCompile(`^([^ ]*) ([^ ]*) ([0-9]*) ([0-9]*) ([A-Za-z0-9.-]*) ([^ ]*) ([-.0-9]*) \"([^\"]*)\" ([^ ]*) ([^ ]*) ([^ ]*) ?([^ ]*)?( .*)?$`)

// connEntry is AWS's example of a connection that was let in, with values for
// the fields that the example does not reach.
func connEntry() ConnEntry {
	return ConnEntry{
		Time:             time.Date(2023, 10, 4, 17, 5, 15, 514108000, time.UTC),
		ClientIP:         netip.MustParseAddr("203.0.113.1"),
		ClientPort:       36280,
		ListenerPort:     443,
		TLSVersion:       tls.VersionTLS12,
		Cipher:           tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		HandshakeLatency: 4036 * time.Millisecond,
		LeafSubject:      "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US",
		LeafValidity:     "NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z",
		LeafSerial:       "FEF257372D5C14D4",
		VerifyStatus:     VerifySuccess,
		ConnTraceID:      "TID_3180a73013c8ca4bac2f731159d4b0fe",
		KeyExchange:      tls.X25519MLKEM768,
		ELB:              "app/my-loadbalancer/50dc6c495c0c9188",
		IPAddress:        netip.MustParseAddr("192.0.2.7"),
	}
}

const connExample = `2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe X25519MLKEM768 app/my-loadbalancer/50dc6c495c0c9188 192.0.2.7`

func TestConnEntryAppendALB(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*ConnEntry)
		field  int // 1 to 15; 0 means the whole line
		want   string
	}{
		{"AWS's example", func(*ConnEntry) {}, 0, connExample},
		{"nothing known", func(e *ConnEntry) { *e = ConnEntry{} }, 0,
			`- - 0 0 - - - "-" - - - - - - -`},
		{"another time zone", func(e *ConnEntry) { e.Time = e.Time.In(time.FixedZone("", 7200)) }, 1,
			"2023-10-04T17:05:15.514108Z"},
		{"IPv6 client with a zone", func(e *ConnEntry) { e.ClientIP = netip.MustParseAddr("fe80::1%eth0") }, 2, "fe80::1"},
		{"IPv4-mapped client", func(e *ConnEntry) { e.ClientIP = netip.MustParseAddr("::ffff:192.0.2.1") }, 2, "192.0.2.1"},
		{"unknown version", func(e *ConnEntry) { e.TLSVersion = 0x0305 }, 5, "UNKNOWN-0305"},
		{"unknown suite", func(e *ConnEntry) { e.Cipher = 0xfefe }, 6, "UNKNOWN-FEFE"},
		{"failed handshake", func(e *ConnEntry) { e.HandshakeLatency = 0 }, 7, "-"},
		{"latency rounded up", func(e *ConnEntry) { e.HandshakeLatency = 1999500 * time.Microsecond }, 7, "2.000"},
		{"latency of a microsecond", func(e *ConnEntry) { e.HandshakeLatency = time.Microsecond }, 7, "0.000"},
		{"refusal", func(e *ConnEntry) { e.VerifyStatus = VerifyFailed + "ClientCertUntrusted" }, 11, "Failed:ClientCertUntrusted"},
		{"key exchange of RSA", func(e *ConnEntry) { e.KeyExchange, e.Cipher = 0, tls.TLS_RSA_WITH_AES_128_GCM_SHA256 }, 13, "RSA"},
		{"no key exchange", func(e *ConnEntry) { e.KeyExchange = 0 }, 13, "-"},
		{"unknown group", func(e *ConnEntry) { e.KeyExchange = 0x0a0b }, 13, "UNKNOWN-0A0B"},
		{"space in a word", func(e *ConnEntry) { e.ELB = "app/a b" }, 14, `app/a\x20b`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := connEntry()
			tt.change(&e)
			got := string(e.AppendALB([]byte("kept ")))
			got, ok := strings.CutPrefix(got, "kept ")
			if !ok {
				t.Fatalf("the slice's content is lost: %q", got)
			}
			if tt.field > 0 {
				fields := connFields(t, got)
				got = fields[tt.field-1]
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// connFields splits a line as Athena does, and what Athena leaves in one group
// at the spaces. Field 8 is without its quotes.
func connFields(t testing.TB, line string) []string {
	t.Helper()
	groups := albConnExpression.FindStringSubmatch(line)
	if groups == nil {
		t.Fatalf("AWS's expression does not match %q", line)
	}
	fields := append(groups[1:13:13], strings.Split(strings.TrimPrefix(groups[13], " "), " ")...)
	if len(fields) != 15 {
		t.Fatalf("%d fields, want 15: %q", len(fields), line)
	}
	return fields
}

func TestConnEntrySubjectCannotForgeFields(t *testing.T) {
	for _, tt := range []struct{ name, subject, want string }{
		{"UTF-8 of RFC 2253", `SN=M\C3\84NNIK,CN=a\,b`, `SN=M\C3\84NNIK,CN=a\,b`},
		{"escaped backslash before a quote", `CN=a\\\"b`, `CN=a\\\22b`},
		{"a quote that closes the field", `CN=x\" a b Success TID_0`, `CN=x\22 a b Success TID_0`},
		{"a bare quote", `CN="`, `CN=\22`},
		{"a line break", "CN=a\nb", `CN=a\0Ab`},
		{"an escaped line break", "CN=a\\\nb", `CN=a\0Ab`},
		{"a backslash at the end", `CN=a\`, `CN=a\5C`},
		{"raw UTF-8", "CN=\u00e4", `CN=\C3\A4`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := connEntry()
			e.LeafSubject = tt.subject
			fields := connFields(t, string(e.AppendALB(nil)))
			if fields[7] != tt.want || fields[10] != VerifySuccess {
				t.Errorf("field 8 is %s, field 11 %s; want %s, Success", fields[7], fields[10], tt.want)
			}
		})
	}
}

func TestConnEntryTextIsCapped(t *testing.T) {
	e := connEntry()
	e.LeafSubject = "CN=" + strings.Repeat(`\C3\84`, 1<<16)
	e.LeafSerial = strings.Repeat("F", 1<<16)
	fields := connFields(t, string(e.AppendALB(nil)))
	if n := len(fields[7]); n > MaxLogSubject || n < MaxLogSubject-3 || !strings.HasSuffix(fields[7], `\84`) && !strings.HasSuffix(fields[7], `\C3`) {
		t.Errorf("subject of %d bytes, ends in %q", n, fields[7][n-5:])
	}
	if len(fields[9]) != MaxLogToken {
		t.Errorf("serial of %d bytes, want %d", len(fields[9]), MaxLogToken)
	}
	e.ServerName, e.Detail = strings.Repeat("s", 1<<16), strings.Repeat("d", 1<<16)
	got := decode(t, e.AppendJSON(nil))
	if n := len(got["sni"].(string)); n != MaxLogServerName {
		t.Errorf("sni of %d bytes, want %d", n, MaxLogServerName)
	}
	if n := len(got["detail"].(string)); n != MaxLogDetail {
		t.Errorf("detail of %d bytes, want %d", n, MaxLogDetail)
	}
}

func decode(t testing.TB, line []byte) map[string]any {
	t.Helper()
	got := map[string]any{}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return got
}

func TestConnEntryAppendJSON(t *testing.T) {
	e := connEntry()
	e.Listener, e.ServerName, e.VPCEndpointID = "front-door", "api.example", "vpce-08d2bf15fac5001c9"
	e.Resumed, e.Detail = true, "the \"leaf\" is\nodd"
	want := `{"timestamp":"2023-10-04T17:05:15.514108Z","client_ip":"203.0.113.1","client_port":36280,"listener_port":443,` +
		`"tls_protocol":"TLSv1.2","tls_cipher":"ECDHE-RSA-AES128-GCM-SHA256","tls_handshake_latency":4.036,` +
		`"leaf_client_cert_subject":"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US",` +
		`"leaf_client_cert_validity":"NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z",` +
		`"leaf_client_cert_serial_number":"FEF257372D5C14D4","tls_verify_status":"Success",` +
		`"conn_trace_id":"TID_3180a73013c8ca4bac2f731159d4b0fe","tls_keyexchange":"X25519MLKEM768",` +
		`"elb":"app/my-loadbalancer/50dc6c495c0c9188","ip_address":"192.0.2.7","listener":"front-door","sni":"api.example",` +
		`"vpce_id":"vpce-08d2bf15fac5001c9","resumed":true,"memo_hit":false,` +
		`"detail":"the \"leaf\" is\u000aodd"}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConnEntryJSONHasEveryKeyAlways(t *testing.T) {
	e := connEntry()
	full, empty := decode(t, e.AppendJSON(nil)), decode(t, new(ConnEntry).AppendJSON(nil))
	for key := range full {
		value, ok := empty[key]
		switch key {
		case "client_port", "listener_port":
			ok = ok && value == 0.0
		case "resumed", "memo_hit":
			ok = ok && value == false
		default:
			ok = ok && value == nil
		}
		if !ok {
			t.Errorf("%s is %v in an empty entry", key, value)
		}
	}
}

func TestNewConnTraceID(t *testing.T) {
	form := regexp.MustCompile(`^TID_[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := NewConnTraceID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("id %q is malformed or a repetition", id)
		}
		seen[id] = true
	}
	// One is the string; the race detector's build has another.
	if got := testing.AllocsPerRun(100, func() { NewConnTraceID() }); got > 2 {
		t.Errorf("%v allocations, want 1", got)
	}
}

func TestConnEntryAppendDoesNotAllocate(t *testing.T) {
	e := connEntry()
	b := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() { b = e.AppendALB(b[:0]) }); got != 0 {
		t.Errorf("AppendALB: %v allocations", got)
	}
	if got := testing.AllocsPerRun(100, func() { b = e.AppendJSON(b[:0]) }); got != 0 {
		t.Errorf("AppendJSON: %v allocations", got)
	}
}

// BenchmarkConnEntry is the cost of writing one entry into a slice that is large
// enough; the log file is not part of it.
func BenchmarkConnEntry(b *testing.B) {
	e := connEntry()
	line := make([]byte, 0, 4096)
	b.Run("format=alb", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			line = e.AppendALB(line[:0])
		}
	})
	b.Run("format=json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			line = e.AppendJSON(line[:0])
		}
	})
}

func BenchmarkNewConnTraceID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewConnTraceID()
	}
}
