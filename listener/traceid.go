package listener

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxTracedHeaders is the size in bytes of all headers of a request beyond which
// an incoming trace id is replaced, not extended (ALB, "Request tracing").
const MaxTracedHeaders = 7 << 10

// SetTraceID sets X-Amzn-Trace-Id and returns its value, for the log. Random
// must be fresh for each request; now gives the seconds in the id.
//
// Without an incoming id, the header gets a Root field. One with a Root gets a
// Self field in front, or its Self field renewed, and keeps its other fields.
// One with neither gets a Root in front. If all headers together are larger than
// MaxTracedHeaders, the header is replaced by a Root alone. Of several headers
// the first counts, as ALB reads one.
func SetTraceID(h http.Header, now time.Time, random [12]byte) string {
	id := newTraceID(now, random)
	value := "Root=" + id
	if old := h[headerTraceID]; len(old) > 0 && old[0] != "" && headerBytes(h) <= MaxTracedHeaders {
		value = extendTrace(old[0], id)
	}
	h[headerTraceID] = []string{value}
	return value
}

// newTraceID returns version, seconds and random part of an id.
func newTraceID(now time.Time, random [12]byte) string {
	const length = len("1-00000000-") + 2*len(random)
	b := append(make([]byte, 0, length), "1-"...)
	seconds := strconv.AppendUint(nil, uint64(uint32(now.Unix())), 16)
	b = append(b, "00000000"[:8-len(seconds)]...)
	b = append(append(b, seconds...), '-')
	return string(hex.AppendEncode(b, random[:]))
}

// extendTrace adds id to an incoming trace header.
func extendTrace(old, id string) string {
	var kept []string
	hasRoot, hasSelf := false, false
	for field := range strings.SplitSeq(old, ";") {
		field = strings.TrimSpace(field)
		name, _, _ := strings.Cut(field, "=")
		switch {
		case field == "":
			continue
		case name == "Self" && hasSelf:
			continue
		case name == "Self":
			hasSelf = true
			field = "Self=" + id
		case name == "Root":
			hasRoot = true
		}
		kept = append(kept, field)
	}
	fields := strings.Join(kept, ";")
	switch {
	case hasSelf:
		return fields
	case hasRoot:
		return "Self=" + id + ";" + fields
	case fields == "":
		return "Root=" + id
	}
	return "Root=" + id + ";" + fields
}

// headerBytes returns the size of h as HTTP/1.1 would send it.
func headerBytes(h http.Header) int {
	size := 0
	for name, values := range h {
		for _, value := range values {
			size += headerLineBytes(name, value)
		}
	}
	return size
}

// headerLineBytes counts name, colon, space, value and line end.
func headerLineBytes(name, value string) int { return len(name) + len(value) + len(": \r\n") }
