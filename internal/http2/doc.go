// Package http2 is an HTTP/2 server for a load balancer (RFC 9113), behind
// net/http's http.Handler.
//
// # Goroutines
//
// The goroutine of [Server.ServeConn] reads frames in place, many for one read of
// TLS. Each request's handler has a goroutine, one that has served others before and
// whose stack has grown already. Nobody writes but those who have something to say: handlers append
// whole frames to one buffer, and whoever finds that nobody is writing lets the
// others that are ready run first and then writes what has gathered. So the
// answers to requests that came together leave together. A small answer is one append:
// no hand-off, no flow control beyond two comparisons.
//
// Data that windows or a slow client hold up stays where the handler has it, and the
// handler waits. When there is room, the most urgent streams go first (RFC 9218), and
// equals take turns, a frame each.
//
// # Header compression
//
// The decoder keeps names classified and values checked in its table, so that a field
// which comes again costs next to nothing. The encoder has no state at all, hence no lock
// and no order to keep; see encode.go for what that costs.
//
// # What a client can cost
//
// Everything is in [Limits]. Requests that a client gives up, and those that it makes the
// server give up, use one allowance (CVE-2023-44487, CVE-2025-8671), which answered requests
// fill; a handler counts until it has returned, whatever became of its stream. Frames that
// carry nothing use another. Header blocks are bounded in size, frames and time
// (CVE-2023-45288), header lists also over all requests of a connection.
//
// # Differences from net/http
//
// Nothing is added that was not sent but Date and Content-Length: no Content-Type is sniffed.
// Requests with a Host that differs from :authority, or with spaces around a
// value, are malformed. SetWriteDeadline and SetReadDeadline end waiting and nothing else; a stream
// is not reset because a deadline passes while nobody waits. There is no server push, no
// extended CONNECT, and no HTTP/1.1 upgrade to HTTP/2.
package http2
