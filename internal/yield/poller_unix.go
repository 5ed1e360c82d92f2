//go:build unix

package yield

import (
	"os"
	"syscall"
	"time"
)

// A poller is a pipe to oneself. Its owner writes a byte and then waits until the
// runtime's poller says that the pipe can be read. The runtime looks there
// only once nobody else is ready to run, and finds all connections with news
// in the same look.
type poller struct {
	r, w *os.File
	raw  syscall.RawConn
}

// wait reports whether it could wait.
func (p *poller) wait() bool {
	if p.raw == nil && !p.open() {
		return false
	}
	written, good := false, true
	var token [1]byte
	err := p.raw.Read(func(fd uintptr) bool {
		if !written {
			written = true
			// Here, because what became readable before the runtime prepared
			// to wait would be forgotten, and the wait endless.
			n, err := p.w.Write(token[:])
			good = n == 1 && err == nil
			return !good
		}
		n, err := syscall.Read(int(fd), token[:])
		return n == 1 || err != syscall.EAGAIN && err != syscall.EINTR
	})
	return good && err == nil
}

func (p *poller) open() bool {
	r, w, err := os.Pipe()
	if err != nil {
		return false // no descriptors left
	}
	// A pipe that the runtime's poller does not watch takes no deadline, and
	// reading it would not wait.
	raw, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		r.Close()
		w.Close()
		return false
	}
	p.r, p.w, p.raw = r, w, raw
	return true
}

func (p *poller) close() {
	if p.raw != nil {
		p.r.Close()
		p.w.Close()
		*p = poller{}
	}
}
