package listener

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// checkLine asserts what holds for every line in either format: printable ASCII,
// and so exactly one line.
func checkLine(t *testing.T, line []byte) {
	t.Helper()
	if i := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Fatalf("byte %d of %q is not printable ASCII", i, line)
	}
}

// wantJSON is what a value must be when the line is decoded.
func wantJSON(s string, limit int) any {
	if s == "" {
		return nil
	}
	return string([]rune(cutUTF8(s, limit))) // every bad byte becomes U+FFFD
}

func checkJSON(t *testing.T, line []byte, want map[string]any) {
	t.Helper()
	got := decode(t, line)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
}

// FuzzConnLine: whatever the text, the line is one line, AWS's expression splits
// it into the right fields, and the JSON form gives the values back.
func FuzzConnLine(f *testing.F) {
	f.Add("CN=a", "NotBefore=x", "0A", "Success", "TID_0", "app/x/y", "name", "detail", uint16(tls.VersionTLS13), uint16(0x1301), uint16(29), int64(1e9))
	f.Add(`CN=x\" - - Success`, "a b", "\"", "\n", "\\", "\x00", "\xff\xfe", "\u2028", uint16(1), uint16(1), uint16(1), int64(-1))
	f.Fuzz(func(t *testing.T, subject, validity, serial, status, trace, elb, name, detail string, version, cipher, group uint16, latency int64) {
		e := connEntry()
		e.LeafSubject, e.LeafValidity, e.LeafSerial, e.VerifyStatus = subject, validity, serial, status
		e.ConnTraceID, e.ELB, e.ServerName, e.Listener, e.Detail = trace, elb, name, name, detail
		e.TLSVersion, e.Cipher, e.KeyExchange, e.HandshakeLatency = version, cipher, tls.CurveID(group), time.Duration(latency)

		line := e.AppendALB(nil)
		checkLine(t, line)
		fields := connFields(t, string(line))
		for i, field := range fields {
			if field == "" {
				t.Errorf("field %d is empty in %q", i+1, line)
			}
		}
		if fields[14] != "192.0.2.7" || fields[3] != "443" {
			t.Errorf("fields have moved in %q", line)
		}
		line = e.AppendJSON(nil)
		checkLine(t, line)
		checkJSON(t, line, map[string]any{
			"leaf_client_cert_subject":       wantJSON(subject, MaxLogSubject),
			"leaf_client_cert_validity":      wantJSON(validity, MaxLogToken),
			"leaf_client_cert_serial_number": wantJSON(serial, MaxLogToken),
			"tls_verify_status":              wantJSON(status, MaxLogToken),
			"sni":                            wantJSON(name, MaxLogServerName),
			"detail":                         wantJSON(detail, MaxLogDetail),
		})
	})
}

// FuzzAccessLine is FuzzConnLine for the access log.
func FuzzAccessLine(f *testing.F) {
	f.Add("GET", "example.com", "/x", "HTTP/1.1", "curl", "10.0.0.1:80", "Root=1-0-0", "example.com", "forward", "https://x", "TID_0", "Acceptable", 200, int64(1e9))
	f.Add("G T", "a\"b:1", "http://x", "", "\" \"", "[::1]:x", "\n", "\\", "\x7f", "\xff", "\t", "a b", -1, int64(-5))
	f.Fuzz(func(t *testing.T, method, host, uri, proto, agent, target, trace, domain, actions, redirect, id, class string, status int, took int64) {
		e := accessEntry()
		e.Type, e.ELB, e.Method, e.Host, e.URI, e.Proto, e.UserAgent = class, id, method, host, uri, proto, agent
		e.Target, e.TargetGroup, e.TraceID, e.DomainName, e.ChosenCert = target, target, trace, domain, domain
		e.ActionsExecuted, e.RedirectURL, e.ErrorReason, e.ConnTraceID = actions, redirect, class, id
		e.Classification, e.ClassificationReason, e.TransformedHost, e.TransformedURI = class, class, host, uri
		e.TransformStatus, e.ELBStatus, e.TargetStatus, e.MatchedRule = class, status, status, status
		e.TargetProcessingTime = time.Duration(took)
		e.Client = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), 50718)

		line := e.AppendALB(nil)
		checkLine(t, line)
		groups := accessFields(t, string(line))
		if got := groups[groupClientIP]; got != "2001:db8::1" {
			t.Errorf("client is %q in %q", got, line)
		}
		if got := string(appendLogQuoted(nil, agent, MaxLogUserAgent)); got != `"`+groups[groupAgent]+`"` {
			t.Errorf("user agent is %q, want %s", groups[groupAgent], got)
		}
		if got := string(appendLogWord(nil, id, MaxLogToken)); got != groups[groupTrace] {
			t.Errorf("conn_trace_id is %q, want %s", groups[groupTrace], got)
		}
		if !strings.HasSuffix(string(line), " 192.0.2.7") {
			t.Errorf("ip_address has moved in %q", line)
		}
		line = e.AppendJSON(nil)
		checkLine(t, line)
		checkJSON(t, line, map[string]any{
			"request_verb":     wantJSON(method, MaxLogMethod),
			"request_proto":    wantJSON(proto, MaxLogMethod),
			"user_agent":       wantJSON(agent, MaxLogUserAgent),
			"target_port_list": wantJSON(target, MaxLogToken),
			"trace_id":         wantJSON(trace, MaxLogTraceID),
			"redirect_url":     wantJSON(redirect, MaxLogURI),
			"transformed_uri":  wantJSON(uri, MaxLogURI),
			"conn_trace_id":    wantJSON(id, MaxLogToken),
		})
	})
}
