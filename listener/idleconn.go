package listener

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// An idleConn is a client's connection after an upgrade. It fails when neither
// side has sent anything for idle (ALB, "Connection idle timeout", which also
// holds for WebSocket). One goroutine may read while another writes.
type idleConn struct {
	net.Conn
	idle    time.Duration
	early   []byte // read before the upgrade, and handed out first; owned by the reader
	read    atomic.Int64
	written atomic.Int64
}

// Read implements net.Conn.
func (c *idleConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		c.read.Add(int64(n))
		return n, nil
	}
	c.Conn.SetDeadline(time.Now().Add(c.idle))
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// Write implements net.Conn. It also gives the other direction new time.
func (c *idleConn) Write(b []byte) (int, error) {
	c.Conn.SetDeadline(time.Now().Add(c.idle))
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// CloseWrite ends the direction to the client, if the connection can.
func (c *idleConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return io.EOF
	}
	return half.CloseWrite()
}
