package listener

import (
	"net"
	"syscall"
	"testing"
)

// Connections probe silent clients though nothing is set on them one by one.
func TestAcceptedSocketsInheritKeepAlive(t *testing.T) {
	s := newSite(t)
	f := startFront(t, s.config(MutualAuthentication{}))
	tc := f.connect(s.client(s.acme))
	defer tc.Close()
	eventually(t, "the connection", func() bool { return len(f.live.list()) == 1 })
	raw, err := f.live.list()[0].raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		name               string
		level, option, set int
	}{
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveSeconds},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveSeconds},
		{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveProbes},
		{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
	} {
		raw.Control(func(fd uintptr) {
			if got, err := syscall.GetsockoptInt(int(fd), o.level, o.option); got != o.set || err != nil {
				t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.set)
			}
		})
	}
}
