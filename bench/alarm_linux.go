package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm wakes one goroutine at a time that is exact to some microseconds. Go's
// own timers are not: an idle process sleeps in epoll_wait, which counts whole
// milliseconds, and that would be the p99 of a fast server. A timerfd is one of
// the descriptors that epoll_wait returns for.
type alarm struct {
	file   *os.File
	fd     int
	cancel func() bool
}

func newAlarm(ctx context.Context) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timer"), fd: fd}
	a.cancel = context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Now()) })
	return a, nil
}

func (a *alarm) close() {
	a.cancel()
	_ = a.file.Close() // nothing was written
}

// wait returns after d, or false at once when the alarm's context is done.
func (a *alarm) wait(ctx context.Context, d time.Duration) bool {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
	if err := unix.TimerfdSettime(a.fd, 0, &when, nil); err != nil {
		return false
	}
	var expirations [8]byte
	_, err := a.file.Read(expirations[:])
	return err == nil && ctx.Err() == nil
}
