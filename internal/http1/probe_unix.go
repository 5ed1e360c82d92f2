//go:build unix

package http1

import (
	"crypto/tls"
	"net"
	"syscall"

	"github.com/postern-lb/postern/internal/engine"
)

// peekLen is enough to see a TLS alert whole.
const peekLen = 32

// A probe looks at what a socket has received without taking it. It makes no
// system call that could block and may be used while others read the connection.
type probe struct {
	raw   syscall.RawConn // nil if the connection has no socket
	tls   bool
	look  func(fd uintptr)
	ready func(fd uintptr) bool
	woken bool    // owned by wait
	first [1]byte // owned by wait
	data  [peekLen]byte
	n     int
	err   error
}

// open finds the socket below nc.
func (p *probe) open(nc net.Conn) {
	inner := engine.Innermost(nc)
	_, plain := inner.(*net.TCPConn)
	_, p.tls = nc.(*tls.Conn)
	sc, ok := inner.(syscall.Conn)
	if !ok || !plain {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.look = p.peek
	p.ready = p.readable
}

// wait blocks until the socket has something to read, has ended or its read deadline
// has passed; only in the last case, and if it was closed, it reports false. Without a
// socket to look at it does not wait. It belongs to the one that reads the connection.
func (p *probe) wait() bool {
	if p.raw == nil {
		return true
	}
	p.woken = false
	return p.raw.Read(p.ready) == nil
}

// readable looks before the first wait, since what came before that is not announced
// again, and takes the poller's word afterwards.
func (p *probe) readable(fd uintptr) bool {
	if p.woken {
		return true
	}
	p.woken = true
	for {
		_, _, err := syscall.Recvfrom(int(fd), p.first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

func (p *probe) peek(fd uintptr) {
	for {
		p.n, _, p.err = syscall.Recvfrom(int(fd), p.data[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if p.err != syscall.EINTR {
			return
		}
	}
}

// An outlook is what a probe sees.
type outlook uint8

const (
	outlookUnknown outlook = iota // no socket to look at
	outlookQuiet                  // open, and nothing has come
	outlookData                   // bytes wait to be read
	outlookOver                   // closed or broken
)

// see looks once.
func (p *probe) see() outlook {
	if p.raw == nil {
		return outlookUnknown
	}
	if p.raw.Control(p.look) != nil {
		return outlookOver
	}
	switch {
	case p.err == syscall.EAGAIN:
		return outlookQuiet
	case p.err != nil || p.n <= 0:
		return outlookOver
	case p.tls && isAlert(p.data[:p.n]):
		return outlookOver
	}
	return outlookData
}

const (
	recordHeader  = 5
	recordAlert   = 21
	recordAppData = 23
	// sealedAlert is the length of an alert under TLS 1.3: two bytes, the inner
	// content type and the AEAD's tag (RFC 8446, section 5.2).
	sealedAlert = 2 + 1 + 16
)

// isAlert reports whether a TLS record is an alert, which from a client in the
// middle of a connection is its farewell. Under TLS 1.3 its length gives it away:
// application data that short would be two bytes.
func isAlert(b []byte) bool {
	if len(b) < recordHeader {
		return false
	}
	return b[0] == recordAlert || b[0] == recordAppData && b[3] == 0 && b[4] == sealedAlert
}
