package listener

import (
	"net/netip"
	"time"
)

// Values of AccessEntry.Type (ALB, Access logs for your Application Load
// Balancer).
const (
	TypeHTTP  = "http"
	TypeHTTPS = "https"
	TypeH2    = "h2"    // HTTP/2 over TLS
	TypeGRPCS = "grpcs" // gRPC over TLS
	TypeWS    = "ws"
	TypeWSS   = "wss"
)

// Values of AccessEntry.MatchedRule that are not a rule's priority.
const (
	MatchedDefault   = 0  // the default rule
	MatchedRuleError = -1 // rules could not be evaluated
	MatchedNone      = -2 // any other error; written as "-"
)

// NoTime is the value of a processing time that does not exist, because the
// request was not dispatched or the target gave no answer; written as -1.
const NoTime time.Duration = -1

// SessionReused is the ChosenCert of a request on a resumed TLS session.
const SessionReused = "session-reused"

// Limits of the text that a client can put into one access-log line, in bytes
// of the value before escaping. Longer values are cut, never refused.
const (
	MaxLogUserAgent = 8 << 10  // ALB cuts user_agent here too
	MaxLogURI       = 16 << 10 // ALB's limit of a whole request line
	MaxLogHost      = 512      // host of request_line, transformed_host
	MaxLogMethod    = 64       // method and protocol of request_line
	MaxLogTraceID   = 1 << 10  // trace_id
)

// AccessEntry is what the access log says about one request. Begin with
// [AccessEntry.Reset]: the zero value claims processing times of 0 and a match
// of the default rule. An entry is plain data: it may be copied and reused, and
// is not safe for concurrent use while somebody writes to it.
//
// The order is ALB's (ALB, Access logs for your Application Load Balancer).
// Fields 26 and 27 of ALB, the lists of targets and of their status codes,
// repeat fields 5 and 10 and are not held twice.
type AccessEntry struct {
	Type                   string         // 1: TypeHTTP …
	Time                   time.Time      // 2: the response ended
	ELB                    string         // 3: app/<name>/<id>
	Client                 netip.AddrPort // 4
	Target                 string         // 5: host:port; empty if not dispatched
	RequestProcessingTime  time.Duration  // 6: from reception to dispatch
	TargetProcessingTime   time.Duration  // 7: from dispatch to the response headers
	ResponseProcessingTime time.Duration  // 8: from the headers to the response's end
	ELBStatus              int            // 9: what the client got; 0 is written 000
	TargetStatus           int            // 10: 0 if the target gave none
	ReceivedBytes          int64          // 11: HTTP bytes with headers
	SentBytes              int64          // 12: likewise
	Method                 string         // 13: empty if the request could not be parsed
	Host                   string         // 13: Host or :authority; a port in it is ignored
	ListenerPort           uint16         // 13
	URI                    string         // 13: request target as sent
	Proto                  string         // 13: HTTP/1.1, HTTP/2.0; empty as Method
	UserAgent              string         // 14
	Cipher                 uint16         // 15: 0 if not TLS
	TLSVersion             uint16         // 16: 0 if not TLS
	TargetGroup            string         // 17: in ALB an ARN, here the group's name
	TraceID                string         // 18: value of X-Amzn-Trace-Id
	DomainName             string         // 19: SNI, if it chose the certificate
	ChosenCert             string         // 20: in ALB an ARN, here the certificate's name; or SessionReused
	MatchedRule            int            // 21: priority, or MatchedDefault …
	RequestCreationTime    time.Time      // 22: the request began to arrive
	ActionsExecuted        string         // 23: such as "forward", "rewrite,forward"
	RedirectURL            string         // 24
	ErrorReason            string         // 25: ALB's code
	Classification         string         // 28: Acceptable, Ambiguous, Severe; empty if compliant
	ClassificationReason   string         // 29
	ConnTraceID            string         // 30: joins with the connection log
	TransformedHost        string         // 31
	TransformedURI         string         // 32
	TransformStatus        string         // 33: such as TransformSuccess
	IPAddress              netip.Addr     // 34: the local address that accepted

	Listener      string // name of the listener; JSON only
	VPCEndpointID string // of PROXY protocol v2's AWS TLV; JSON only
	RefusalID     string // the opaque id that a refused client was told; JSON only
}

// Reset makes e an entry of which nothing is known yet.
func (e *AccessEntry) Reset() {
	*e = AccessEntry{
		RequestProcessingTime:  NoTime,
		TargetProcessingTime:   NoTime,
		ResponseProcessingTime: NoTime,
		MatchedRule:            MatchedNone,
	}
}
