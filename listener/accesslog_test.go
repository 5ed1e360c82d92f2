package listener

import (
	"crypto/tls"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// albAccessExpression is the expression of AWS's table for Athena (Athena,
// Create the table for ALB access logs). It must match the whole line.
var albAccessExpression = regexp.MustCompile(`^([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) (-|[-0-9]*) ([-0-9]*) ([-0-9]*) \"([^ ]*) (.*) (- |[^ ]*)\" \"([^\"]*)\" ([A-Z0-9-_]+) ([A-Za-z0-9.-]*) ([^ ]*) \"([^\"]*)\" \"([^\"]*)\" \"([^\"]*)\" ([-.0-9]*) ([^ ]*) \"([^\"]*)\" \"([^\"]*)\" \"([^ ]*)\" \"([^\s]+?)\" \"([^\s]+)\" \"([^ ]*)\" \"([^ ]*)\" ?([^ ]*)?( .*)?$`)

// Groups of albAccessExpression.
const (
	groupClientIP = 4
	groupVerb     = 15
	groupURL      = 16
	groupProto    = 17
	groupAgent    = 18
	groupRule     = 25
	groupTrace    = 34
	groupRest     = 35
)

// accessEntry is AWS's example of a request over HTTPS.
func accessEntry() AccessEntry {
	return AccessEntry{
		Type: TypeHTTPS, Time: time.Date(2018, 7, 2, 22, 23, 0, 186641000, time.UTC),
		ELB: "app/my-loadbalancer/50dc6c495c0c9188", Client: netip.MustParseAddrPort("192.168.131.39:2817"),
		Target:                "10.0.0.1:80",
		RequestProcessingTime: 86 * time.Millisecond, TargetProcessingTime: 48 * time.Millisecond, ResponseProcessingTime: 37 * time.Millisecond,
		ELBStatus: 200, TargetStatus: 200, SentBytes: 57,
		Method: "GET", Host: "www.example.com", ListenerPort: 443, URI: "/", Proto: "HTTP/1.1", UserAgent: "curl/7.46.0",
		Cipher: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLSVersion: tls.VersionTLS12,
		TargetGroup: "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067",
		TraceID:     "Root=1-58337281-1d84f3d73c47ec4e58577259", DomainName: "www.example.com",
		ChosenCert:  "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",
		MatchedRule: 1, RequestCreationTime: time.Date(2018, 7, 2, 22, 22, 48, 364000000, time.UTC),
		ActionsExecuted: "authenticate,forward", ConnTraceID: "TID_1234abcd5678ef90",
		TransformedHost: "m.example.com", TransformStatus: "TransformSuccess", IPAddress: netip.MustParseAddr("192.0.2.7"),
	}
}

const accessExample = `https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90 "m.example.com" "-" "TransformSuccess" 192.0.2.7`

func TestAccessEntryAppendALB(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*AccessEntry)
		want   string // part of the line
	}{
		{"AWS's example", func(*AccessEntry) {}, accessExample},
		{"nothing known", (*AccessEntry).Reset,
			`- - - -:0 - -1 -1 -1 000 - 0 0 "- https://-:0- " "-" - - - "-" "-" "-" - - "-" "-" "-" "-" "-" "-" "-" - "-" "-" "-" -`},
		{"unreadable request", func(e *AccessEntry) {
			e.Type, e.Method, e.Host, e.URI, e.Proto, e.ListenerPort = TypeHTTP, "", "", "", "", 80
		}, ` "- http://192.0.2.7:80- " `},
		{"IPv6 without brackets", func(e *AccessEntry) { e.Client = netip.MustParseAddrPort("[2001:db8::1]:50718") }, " 2001:db8::1:50718 "},
		{"IPv6 target", func(e *AccessEntry) { e.Target = "[2001:db8::2]:80" }, " 2001:db8::2:80 0.086"},
		{"target without a port", func(e *AccessEntry) { e.Target = "lambda" }, " lambda:0 0.086"},
		{"target with a port that is none", func(e *AccessEntry) { e.Target = "host:8x" }, " host:8x:0 0.086"},
		{"no answer", func(e *AccessEntry) { e.TargetProcessingTime = NoTime; e.TargetStatus = 0 }, " 0.086 -1 0.037 200 - 0 57 "},
		{"GOAWAY", func(e *AccessEntry) { e.ELBStatus = 0 }, " 000 200 "},
		{"WebSocket over TLS", func(e *AccessEntry) { e.Type = TypeWSS }, `"GET https://`},
		{"WebSocket", func(e *AccessEntry) { e.Type = TypeWS }, `"GET http://`},
		{"port of the client", func(e *AccessEntry) { e.Host = "www.example.com:8443" }, `"GET https://www.example.com:443/ `},
		{"host is IPv6", func(e *AccessEntry) { e.Host = "[2001:db8::3]" }, `"GET https://[2001:db8::3]:443/ `},
		{"host is IPv6 with a port", func(e *AccessEntry) { e.Host = "[2001:db8::3]:1" }, `"GET https://[2001:db8::3]:443/ `},
		{"host is bare IPv6", func(e *AccessEntry) { e.Host = "2001:db8::3" }, `"GET https://2001:db8::3:443/ `},
		{"URI as sent", func(e *AccessEntry) { e.URI = "/a%20b?c=1 2&d=#" }, `:443/a%20b?c=1 2&d=# HTTP/1.1"`},
		{"quote, as real logs of ALB have it", func(e *AccessEntry) { e.URI = `/x?bar="` }, `:443/x?bar=\x22 HTTP/1.1"`},
		{"absolute form", func(e *AccessEntry) { e.URI = "http://other/x?y" }, `www.example.com:443/x?y HTTP/1.1"`},
		{"absolute form without a path", func(e *AccessEntry) { e.URI = "http://other" }, `www.example.com:443/ HTTP/1.1"`},
		{"asterisk form", func(e *AccessEntry) { e.Method, e.URI = "OPTIONS", "*" }, `"OPTIONS https://www.example.com:443* HTTP/1.1"`},
		{"default rule", func(e *AccessEntry) { e.MatchedRule = MatchedDefault }, `" 0 2018-07-02T22:22:48`},
		{"rule error", func(e *AccessEntry) { e.MatchedRule = MatchedRuleError }, `" -1 2018-07-02T22:22:48`},
		{"no rule", func(e *AccessEntry) { e.MatchedRule = MatchedNone }, `" - 2018-07-02T22:22:48`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := accessEntry()
			tt.change(&e)
			got := string(e.AppendALB([]byte("kept ")))
			if !strings.HasPrefix(got, "kept ") || !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			accessFields(t, got[len("kept "):])
		})
	}
}

// accessFields matches a line as Athena does, and checks that what is left over
// is four fields.
func accessFields(t testing.TB, line string) []string {
	t.Helper()
	groups := albAccessExpression.FindStringSubmatch(line)
	if groups == nil {
		t.Fatalf("AWS's expression does not match %q", line)
	}
	rest := regexp.MustCompile(`^ "[^"]*" "[^"]*" "[^ "]*" [^ ]+$`)
	if !rest.MatchString(groups[groupRest]) {
		t.Fatalf("fields 31 to 34 are %q in %q", groups[groupRest], line)
	}
	return groups
}

func TestAccessEntryTextCannotForgeFields(t *testing.T) {
	e := accessEntry()
	e.UserAgent = "x\" - - \"\r\nhttps 2018-07-02 \\\" \x00\x7f\u00e4\xff"
	e.Method, e.Host, e.Proto = "GET /", "a b\"", "HTTP/1.1 \""
	groups := accessFields(t, string(e.AppendALB(nil)))
	for _, tt := range []struct {
		group int
		want  string
	}{
		{groupAgent, `x\x22 - - \x22\x0D\x0Ahttps 2018-07-02 \x5C\x22 \x00\x7F\xC3\xA4\xFF`},
		{groupVerb, `GET\x20/`},
		{groupURL, `https://a\x20b\x22:443/`},
		{groupProto, `HTTP/1.1\x20\x22`},
		{groupRule, "1"},
		{groupTrace, "TID_1234abcd5678ef90"},
		{groupClientIP, "192.168.131.39"},
	} {
		if got := groups[tt.group]; got != tt.want {
			t.Errorf("group %d is %s, want %s", tt.group, got, tt.want)
		}
	}
}

func TestAccessEntryTextIsCapped(t *testing.T) {
	long := strings.Repeat("x", 1<<17)
	e := accessEntry()
	e.UserAgent, e.URI, e.Method, e.Host, e.Proto, e.TraceID, e.DomainName = long, "/"+long, long, long, long, long, long
	groups := accessFields(t, string(e.AppendALB(nil)))
	url := len("https://") + MaxLogHost + len(":443") + MaxLogURI
	for group, want := range map[int]int{
		groupAgent: MaxLogUserAgent, groupVerb: MaxLogMethod, groupProto: MaxLogMethod,
		groupURL: url, 22: MaxLogTraceID, 23: MaxLogServerName,
	} {
		if got := len(groups[group]); got != want {
			t.Errorf("group %d has %d bytes, want %d", group, got, want)
		}
	}
	got := decode(t, e.AppendJSON(nil))
	for key, want := range map[string]int{
		"user_agent": MaxLogUserAgent, "request_verb": MaxLogMethod, "request_url": url, "trace_id": MaxLogTraceID,
	} {
		if n := len(got[key].(string)); n != want {
			t.Errorf("%s has %d bytes, want %d", key, n, want)
		}
	}
}

func TestAccessEntryAppendJSON(t *testing.T) {
	e := accessEntry()
	e.Listener, e.VPCEndpointID, e.RefusalID = "front-door", "vpce-1", "r-1"
	want := `{"type":"https","time":"2018-07-02T22:23:00.186641Z","elb":"app/my-loadbalancer/50dc6c495c0c9188",` +
		`"client_ip":"192.168.131.39","client_port":2817,"target_ip":"10.0.0.1","target_port":80,` +
		`"request_processing_time":0.086,"target_processing_time":0.048,"response_processing_time":0.037,` +
		`"elb_status_code":200,"target_status_code":200,"received_bytes":0,"sent_bytes":57,` +
		`"request_verb":"GET","request_url":"https://www.example.com:443/","request_proto":"HTTP/1.1","user_agent":"curl/7.46.0",` +
		`"ssl_cipher":"ECDHE-RSA-AES128-GCM-SHA256","ssl_protocol":"TLSv1.2",` +
		`"target_group_arn":"arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067",` +
		`"trace_id":"Root=1-58337281-1d84f3d73c47ec4e58577259","domain_name":"www.example.com",` +
		`"chosen_cert_arn":"arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",` +
		`"matched_rule_priority":1,"request_creation_time":"2018-07-02T22:22:48.364000Z","actions_executed":"authenticate,forward",` +
		`"redirect_url":null,"error_reason":null,"target_port_list":"10.0.0.1:80","target_status_code_list":200,` +
		`"classification":null,"classification_reason":null,"conn_trace_id":"TID_1234abcd5678ef90",` +
		`"transformed_host":"m.example.com","transformed_uri":null,"request_transform_status":"TransformSuccess",` +
		`"ip_address":"192.0.2.7","listener":"front-door","vpce_id":"vpce-1","refusal_id":"r-1"}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccessEntryJSONHasEveryKeyAlways(t *testing.T) {
	full := accessEntry()
	var empty AccessEntry
	empty.Reset()
	got := decode(t, empty.AppendJSON(nil))
	for key := range decode(t, full.AppendJSON(nil)) {
		value, ok := got[key]
		switch key {
		case "client_port", "received_bytes", "sent_bytes":
			ok = ok && value == 0.0
		case "request_url":
			ok = ok && value == "https://-:0-"
		default:
			ok = ok && value == nil
		}
		if !ok {
			t.Errorf("%s is %v in an empty entry", key, value)
		}
	}
}

func TestAccessEntryAppendDoesNotAllocate(t *testing.T) {
	e := accessEntry()
	b := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() { b = e.AppendALB(b[:0]) }); got != 0 {
		t.Errorf("AppendALB: %v allocations", got)
	}
	if got := testing.AllocsPerRun(100, func() { b = e.AppendJSON(b[:0]) }); got != 0 {
		t.Errorf("AppendJSON: %v allocations", got)
	}
}

// BenchmarkAccessEntry is the cost of writing one entry into a slice that is
// large enough; the log file is not part of it.
func BenchmarkAccessEntry(b *testing.B) {
	e := accessEntry()
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
