package listener

import (
	"net"
	"syscall"
)

// The same keep-alive as Go's own: probes after 15 s of silence, every 15 s, nine.
const (
	keepAliveSeconds = 15
	keepAliveProbes  = 9
)

// listenConfig sets keep-alive on the listening socket. Accepted sockets inherit
// it on Linux (tcp(7)), which spares each of them the four system calls with which
// package net would set it.
func listenConfig() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if controlErr := raw.Control(func(fd uintptr) { err = setKeepAlive(int(fd)) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
}

func setKeepAlive(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveSeconds},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveSeconds},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveProbes},
	} {
		if err := syscall.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}
