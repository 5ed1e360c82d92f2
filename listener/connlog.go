package listener

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Values of ConnEntry.VerifyStatus. A refusal is VerifyFailed followed by its
// reason code, such as "Failed:ClientCertExpired" (ALB, Connection logs for your
// Application Load Balancer).
const (
	VerifySuccess = "Success"
	VerifyFailed  = "Failed:"
)

// Limits of the text that a client can put into one connection-log line. They
// count bytes of the value before escaping, except MaxLogSubject, which counts
// bytes as written. Longer values are cut, never refused.
const (
	MaxLogSubject    = 8 << 10 // leaf_client_cert_subject
	MaxLogToken      = 512     // serial, validity, status, ids: values without spaces
	MaxLogServerName = 256     // sni, domain_name; RFC 1035 allows 255
	MaxLogDetail     = 1 << 10 // detail
)

// ConnEntry is what the connection log says about one connection attempt. Fill
// in what is known; the zero value of a field is written as ALB writes an
// absent value. An entry is plain data: it may be copied and reused, and is not
// safe for concurrent use while somebody writes to it.
//
// The first fifteen fields are ALB's, in ALB's order (ALB, Connection logs for
// your Application Load Balancer). The rest appear in JSON only.
type ConnEntry struct {
	Time             time.Time     // established or failed
	ClientIP         netip.Addr    // the client's own, behind PROXY protocol too
	ClientPort       uint16        //
	ListenerPort     uint16        //
	TLSVersion       uint16        // tls.VersionTLS12 …; 0 if not TLS or not agreed
	Cipher           uint16        // cipher suite id; 0 if not TLS or not agreed
	HandshakeLatency time.Duration // 0 if not TLS or the handshake failed
	LeafSubject      string        // RFC 2253, as package internal/dn prints it
	LeafValidity     string        // NotBefore=…Z;NotAfter=…Z
	LeafSerial       string        // upper-case hex
	VerifyStatus     string        // VerifySuccess, VerifyFailed + code; empty without TLS
	ConnTraceID      string        // from NewConnTraceID
	KeyExchange      tls.CurveID   // 0 if not TLS or no group was used
	ELB              string        // app/<name>/<id>
	IPAddress        netip.Addr    // the local address that accepted

	Listener      string // name of the listener
	ServerName    string // SNI as the client sent it
	VPCEndpointID string // of PROXY protocol v2's AWS TLV
	Resumed       bool   // the TLS session was resumed
	MemoHit       bool   // the verdict came from the trust store's memo
	RefusalID     string // the opaque id that the refused client was told
	Detail        string // one sentence for a human why the client was refused
}
