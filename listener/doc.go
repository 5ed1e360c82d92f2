// Package listener is one port of the load balancer: it accepts connections,
// ends their TLS, decides about client certificates, and answers or forwards
// their requests.
//
// Start from [Compile], which checks a [Config] and makes an immutable [Policy]
// of it, and from [Listener], which serves one address under the policy that was
// last applied. A policy is swapped whole and atomically; the socket stays open,
// connections stay open, and each request sees one policy from end to end.
//
// The package is a pipeline, and each step has its files:
//
//	accept.go         a connection arrives: limits, PROXY protocol, the handshake
//	admission.go      how many handshakes may be under way, and whose
//	tls.go, ticket.go the tls.Config of a connection, and its sealed tickets
//	mtls.go           modes off, passthrough, verify: the only place that asks trust
//	live.go           connections that are open, and closing those no longer trusted
//	serving.go        the HTTP servers: packages http1 and http2, or net/http's for HTTP/2
//	handler.go        a request: refuse, sanitise, match a rule, act
//	forward.go        the action forward: the request to a target group
//	deliver.go        the target's answer, to the client; tunnel.go after a 101
//	recorder.go       what the client was sent: counted, with the listener's headers
//	header*.go        the managed headers; no other file names them
//	connlog, accesslog, metrics
//
// What it does not do: it reads no files (package lb does), it does not choose
// a target (package targetgroup does), and it decides nothing about a
// certificate (package trust does).
package listener
