// Package http1 is an HTTP/1.1 engine for a load balancer: a [Server] for client
// connections and a [Transport] for connections to targets, behind the interfaces
// of net/http (http.Handler, http.ResponseWriter, http.RoundTripper).
//
// # One goroutine
//
// The goroutine of [Server.ServeConn] reads a request, runs the handler and writes
// the response; [Transport.RoundTrip] writes the request and reads the response on
// its caller's. A request without a body, or whose body is in memory, is proxied
// without a hand-off to another goroutine. A body that is still arriving costs one
// goroutine, so that it can be sent while the response is read.
//
// That a client goes away while its handler waits is found out without a reader
// for each connection: every 100 ms one goroutine of the server peeks at the
// sockets of those requests that were in their handlers 100 ms before. The limits:
// it takes up to 200 ms; it needs a TCP socket that can be found, through
// NetConn() net.Conn, below what was served; and bytes that the client sent ahead
// hide its farewell, as they do from net/http.
//
// # Strict
//
// What RFC 9112 leaves to be tolerated is refused on both sides: a line that ends in a bare LF,
// folded lines, a space before the colon, Content-Length that is repeated or not
// all digits, together with Transfer-Encoding, or a coding other than chunked, once.
// A header's value cannot contain control characters, in either direction.
//
// # No request gets the response of another
//
// A connection to a target carries one request at a time, and is used again only
// if the response was read to its exact end by its own framing, the request was
// written to its end, nothing was cancelled, and no byte is left over in the
// buffer, in TLS or in the socket. The last is checked when the connection is
// taken from the pool, not when it is put there, so that a response that nobody
// asked for is found at the latest moment that there is. A response's body lets go of its
// connection in the same step in which the connection is pooled, under a lock:
// reading a body late reads nothing. What remains is a target that sends a
// response to a request that it has not seen; no HTTP/1.1 client can tell that apart.
//
// # Differences from net/http
//
// Nothing is added that was not sent: no Content-Type is sniffed, no User-Agent
// made up, no Cache-Control derived from Pragma, nothing decompressed. The headers of responses are written
// in no particular order, those of requests by name. A small response whose handler has set trailers with
// http.TrailerPrefix is sent in chunks even if it was never flushed.
package http1
