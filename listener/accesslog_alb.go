package listener

import (
	"strconv"
	"strings"
)

// AppendALB appends the entry in ALB's form, 34 fields separated by one space,
// without a line break. Absent values are "-", quoted where ALB quotes the
// field. It never fails: any text gives one line that splits into 34 fields (see
// the rule in logline.go), and it allocates nothing but the growth of b.
func (e *AccessEntry) AppendALB(b []byte) []byte {
	b = e.appendRouting(b)
	b = e.appendTraffic(b)
	b = append(e.appendTLS(b), ' ')
	b = append(appendLogWord(b, e.TargetGroup, MaxLogToken), ' ')
	b = append(appendLogQuoted(b, e.TraceID, MaxLogTraceID), ' ')
	b = append(appendLogQuoted(b, e.DomainName, MaxLogServerName), ' ')
	b = append(appendLogQuoted(b, e.ChosenCert, MaxLogToken), ' ')
	b = append(e.appendMatchedRule(b), ' ')
	b = append(appendLogTime(b, e.RequestCreationTime), ' ')
	b = append(appendLogQuoted(b, e.ActionsExecuted, MaxLogToken), ' ')
	b = append(appendLogQuoted(b, e.RedirectURL, MaxLogURI), ' ')
	b = append(appendLogQuotedWord(b, e.ErrorReason, MaxLogToken), ' ')
	b = append(e.appendTarget(append(b, '"')), '"', ' ')
	b = append(appendLogStatus(append(b, '"'), e.TargetStatus), '"', ' ')
	b = append(appendLogQuotedWord(b, e.Classification, MaxLogToken), ' ')
	b = append(appendLogQuotedWord(b, e.ClassificationReason, MaxLogToken), ' ')
	b = append(appendLogWord(b, e.ConnTraceID, MaxLogToken), ' ')
	b = append(appendLogQuoted(b, e.TransformedHost, MaxLogHost), ' ')
	b = append(appendLogQuoted(b, e.TransformedURI, MaxLogURI), ' ')
	b = append(appendLogQuotedWord(b, e.TransformStatus, MaxLogToken), ' ')
	return appendLogAddr(b, e.IPAddress)
}

// appendRouting writes fields 1 to 5 and a space.
func (e *AccessEntry) appendRouting(b []byte) []byte {
	b = append(appendLogWord(b, e.Type, MaxLogToken), ' ')
	b = append(appendLogTime(b, e.Time), ' ')
	b = append(appendLogWord(b, e.ELB, MaxLogToken), ' ')
	b = append(e.appendClient(b), ' ')
	return append(e.appendTarget(b), ' ')
}

// appendTraffic writes fields 6 to 14 and a space.
func (e *AccessEntry) appendTraffic(b []byte) []byte {
	b = append(appendLogProcessing(b, e.RequestProcessingTime), ' ')
	b = append(appendLogProcessing(b, e.TargetProcessingTime), ' ')
	b = append(appendLogProcessing(b, e.ResponseProcessingTime), ' ')
	b = append(appendLogDigits(b, max(e.ELBStatus, 0), 3), ' ')
	b = append(appendLogStatus(b, e.TargetStatus), ' ')
	b = append(strconv.AppendInt(b, e.ReceivedBytes, 10), ' ')
	b = append(strconv.AppendInt(b, e.SentBytes, 10), ' ', '"')
	b = append(e.appendRequestLine(b), '"', ' ')
	return append(appendLogQuoted(b, e.UserAgent, MaxLogUserAgent), ' ')
}

// appendTLS writes fields 15 and 16.
func (e *AccessEntry) appendTLS(b []byte) []byte {
	b = append(appendLogName(b, CipherName(e.Cipher), e.Cipher), ' ')
	return appendLogName(b, TLSVersionName(e.TLSVersion), e.TLSVersion)
}

// appendClient writes address:port without brackets round an IPv6 address, as
// real logs of ALB have it.
func (e *AccessEntry) appendClient(b []byte) []byte {
	b = append(appendLogAddr(b, e.Client.Addr()), ':')
	return strconv.AppendUint(b, uint64(e.Client.Port()), 10)
}

// appendTarget writes a target's host and port as appendClient does a client's.
// AWS's expression demands a port, so a target without one gets port 0.
func (e *AccessEntry) appendTarget(b []byte) []byte {
	if e.Target == "" {
		return append(b, absent)
	}
	host, port := splitTarget(e.Target)
	b = append(appendLogWord(b, host, MaxLogToken), ':')
	if port == "" {
		return append(b, '0')
	}
	return append(b, port...)
}

// splitTarget splits host:port. The host has no brackets, and the port is "" if
// it is not of one to five digits.
func splitTarget(target string) (host, port string) {
	i := strings.LastIndexByte(target, ':')
	if i < 0 || !logPort(target[i+1:]) {
		return target, ""
	}
	host, port = target[:i], target[i+1:]
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return host, port
}

func logPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 5
}

// appendLogStatus writes a status code, or "-" if there is none.
func appendLogStatus(b []byte, status int) []byte {
	if status <= 0 {
		return append(b, absent)
	}
	return strconv.AppendInt(b, int64(status), 10)
}

func (e *AccessEntry) appendMatchedRule(b []byte) []byte {
	if e.MatchedRule < MatchedRuleError {
		return append(b, absent)
	}
	return strconv.AppendInt(b, int64(e.MatchedRule), 10)
}

// appendRequestLine writes field 13 without its quotes: METHOD scheme://host:port/uri
// PROTOCOL. A request that could not be parsed has the form of ALB's logs,
// "- http://host:80- ", where each missing part is a "-" and the protocol
// nothing.
func (e *AccessEntry) appendRequestLine(b []byte) []byte {
	b = append(appendLogWord(b, e.Method, MaxLogMethod), ' ')
	b = append(b, e.scheme()...)
	b = append(b, "://"...)
	b = append(e.appendHost(b), ':')
	b = strconv.AppendUint(b, uint64(e.ListenerPort), 10)
	b = append(appendLogText(b, cutLog(logURI(e.URI), MaxLogURI)), ' ')
	if e.Proto == "" {
		return b
	}
	return appendLogWord(b, e.Proto, MaxLogMethod)
}

// scheme is that of request_line, where ALB writes http and https for WebSocket
// too.
func (e *AccessEntry) scheme() string {
	switch e.Type {
	case TypeHTTP, TypeWS:
		return "http"
	}
	return "https"
}

// appendHost writes the host of request_line: without the client's port, because
// the listener's follows, and the own address for a client that sent none.
func (e *AccessEntry) appendHost(b []byte) []byte {
	if e.Host == "" {
		return appendLogAddr(b, e.IPAddress)
	}
	return appendLogWord(b, logHost(e.Host), MaxLogHost)
}

// logHost returns host without a port; the brackets of an IPv6 address stay.
func logHost(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i <= 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return host
	}
	if host[0] != '[' && strings.IndexByte(host, ':') != i {
		return host // an IPv6 address without brackets
	}
	return host[:i]
}

// logURI returns the part of a request target that request_line has after the
// port, "-" if there is none. Of the absolute form (RFC 9112 section 3.2.2) that
// is path and query, because scheme and authority stand before it already.
func logURI(uri string) string {
	if uri == "" {
		return "-"
	}
	if uri[0] == '/' {
		return uri
	}
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return uri
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[i:]
	}
	return "/"
}
