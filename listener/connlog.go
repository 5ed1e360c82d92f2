package listener

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"net/netip"
	"strconv"
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
	Detail        string // one sentence for a human why the client was refused
}

// AppendALB appends the entry in ALB's form, fifteen fields separated by one
// space, without a line break. Absent values are "-"; an absent subject is a
// quoted "-", because AWS's expression for Athena demands the quotes. It never
// fails: any text gives one line that splits into fifteen fields (see the rule
// in logline.go), and it allocates nothing but the growth of b.
func (e *ConnEntry) AppendALB(b []byte) []byte {
	b = append(appendLogTime(b, e.Time), ' ')
	b = append(appendLogAddr(b, e.ClientIP), ' ')
	b = append(strconv.AppendUint(b, uint64(e.ClientPort), 10), ' ')
	b = append(strconv.AppendUint(b, uint64(e.ListenerPort), 10), ' ')
	b = append(appendLogName(b, TLSVersionName(e.TLSVersion), e.TLSVersion), ' ')
	b = append(appendLogName(b, CipherName(e.Cipher), e.Cipher), ' ')
	b = append(e.appendLatency(b), ' ')
	b = append(appendLogDN(b, e.LeafSubject), ' ')
	b = append(appendLogWord(b, e.LeafValidity, MaxLogToken), ' ')
	b = append(appendLogWord(b, e.LeafSerial, MaxLogToken), ' ')
	b = append(appendLogWord(b, e.VerifyStatus, MaxLogToken), ' ')
	b = append(appendLogWord(b, e.ConnTraceID, MaxLogToken), ' ')
	b = append(e.appendKeyExchange(b), ' ')
	b = append(appendLogWord(b, e.ELB, MaxLogToken), ' ')
	return appendLogAddr(b, e.IPAddress)
}

func (e *ConnEntry) appendLatency(b []byte) []byte {
	if e.HandshakeLatency <= 0 {
		return append(b, absent)
	}
	return appendLogSeconds(b, e.HandshakeLatency)
}

// appendKeyExchange writes field 13. A suite in which the client encrypts the
// secret with the server's key uses no group; OpenSSL calls that exchange RSA.
func (e *ConnEntry) appendKeyExchange(b []byte) []byte {
	if e.KeyExchange == 0 && rsaCipherName(e.Cipher) != "" {
		return append(b, "RSA"...)
	}
	return appendLogName(b, KeyExchangeName(e.KeyExchange), uint16(e.KeyExchange))
}

// AppendJSON appends the entry as one JSON object (RFC 8259) without a line
// break. The first fifteen keys are ALB's field names in ALB's order; every key
// is always there, and an absent value is null. The text is ASCII.
// Like AppendALB it never fails and allocates nothing but the growth of b.
func (e *ConnEntry) AppendJSON(b []byte) []byte {
	b = appendJSONTime(append(b, '{'), "timestamp", e.Time)
	b = appendJSONAddr(b, "client_ip", e.ClientIP)
	b = appendJSONInt(b, "client_port", int64(e.ClientPort))
	b = appendJSONInt(b, "listener_port", int64(e.ListenerPort))
	b = appendJSONName(b, "tls_protocol", TLSVersionName(e.TLSVersion), e.TLSVersion)
	b = appendJSONName(b, "tls_cipher", CipherName(e.Cipher), e.Cipher)
	b = appendJSONSeconds(b, "tls_handshake_latency", noneIfZero(e.HandshakeLatency))
	b = appendJSONText(b, "leaf_client_cert_subject", e.LeafSubject, MaxLogSubject)
	b = appendJSONText(b, "leaf_client_cert_validity", e.LeafValidity, MaxLogToken)
	b = appendJSONText(b, "leaf_client_cert_serial_number", e.LeafSerial, MaxLogToken)
	b = appendJSONText(b, "tls_verify_status", e.VerifyStatus, MaxLogToken)
	b = appendJSONText(b, "conn_trace_id", e.ConnTraceID, MaxLogToken)
	b = e.appendJSONKeyExchange(b)
	b = appendJSONText(b, "elb", e.ELB, MaxLogToken)
	b = appendJSONAddr(b, "ip_address", e.IPAddress)
	b = appendJSONText(b, "listener", e.Listener, MaxLogToken)
	b = appendJSONText(b, "sni", e.ServerName, MaxLogServerName)
	b = appendJSONText(b, "vpce_id", e.VPCEndpointID, MaxLogToken)
	b = appendJSONBool(b, "resumed", e.Resumed)
	b = appendJSONBool(b, "memo_hit", e.MemoHit)
	b = appendJSONText(b, "detail", e.Detail, MaxLogDetail)
	return append(b, '}')
}

func (e *ConnEntry) appendJSONKeyExchange(b []byte) []byte {
	if e.KeyExchange == 0 && rsaCipherName(e.Cipher) != "" {
		return appendJSONText(b, "tls_keyexchange", "RSA", MaxLogToken)
	}
	return appendJSONName(b, "tls_keyexchange", KeyExchangeName(e.KeyExchange), uint16(e.KeyExchange))
}

// noneIfZero returns a negative duration, which the writers take as absent, for
// one that was never measured.
func noneIfZero(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

// connTracePrefix begins every connection trace id, as in ALB's logs.
const connTracePrefix = "TID_"

// NewConnTraceID returns TID_ and 32 lower-case hex digits: the id that joins a
// connection's entry with its requests' (ALB, Connection logs for your
// Application Load Balancer). It holds 128 random bits, so that nobody can guess
// another connection's. It makes one allocation and is safe for concurrent use.
func NewConnTraceID() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	var id [len(connTracePrefix) + 2*len(raw)]byte
	copy(id[:], connTracePrefix)
	hex.Encode(id[len(connTracePrefix):], raw[:])
	return string(id[:])
}
