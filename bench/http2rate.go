package bench

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// An http2Pace drives one HTTP/2 connection at a schedule's times: one goroutine
// begins streams when they are due, another reads answers, so a slow answer delays
// no other request. Its mutex guards all of the connection but what reads frames.
type http2Pace struct {
	*http2Conn
	mu   sync.Mutex
	free sync.Cond // the reader has taken a frame, or is gone
	gone bool      // the reader is
	over bool      // no request will follow, and answers are no longer awaited
	err  error     // of a write
}

// exchangeAtRate is exchange for an open loop.
func (c *http2Conn) exchangeAtRate(ctx context.Context, p *pacer, r *recorder) error {
	h := &http2Pace{http2Conn: c}
	h.free.L = &h.mu
	if err := errors.Join(c.deadline.extend(time.Now()), c.hello(), c.out.Flush()); err != nil {
		return err
	}
	var writer sync.WaitGroup
	writer.Go(func() { h.send(ctx, p, r) })
	err := h.receive(r)
	h.mu.Lock()
	h.gone = true
	h.free.Signal()
	h.mu.Unlock()
	writer.Wait()
	for _, due := range c.unserved {
		p.retry(due)
	}
	return err
}

// send begins requests until the run or the connection is over. A turn that the
// connection can no longer take is the next one's.
func (h *http2Pace) send(ctx context.Context, p *pacer, r *recorder) {
	for r.running(ctx) {
		if !h.awaitStream() {
			return
		}
		due, lag, ok := p.next(ctx)
		if !ok {
			break
		}
		if !h.begin(stream{start: due, lag: lag}) {
			p.retry(due)
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.wake()
}

// awaitStream waits until one more stream may be in flight. While the others are
// and the run ends, answers or the timeout end the wait.
func (h *http2Pace) awaitStream() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.streams) >= h.limit && !h.gone && !h.leaving {
		h.free.Wait()
	}
	return !h.gone && !h.leaving
}

func (h *http2Pace) begin(s stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone || h.leaving || h.err != nil {
		return false
	}
	now := time.Now()
	h.err = errors.Join(h.deadline.extend(now), h.open(s), h.out.Flush())
	if h.err != nil {
		h.wake()
	}
	return true
}

// wake ends a read that is in progress; nothing will follow it.
func (h *http2Pace) wake() { _ = h.deadline.conn.SetReadDeadline(time.Now()) }

// receive takes frames until the run or the connection is over.
func (h *http2Pace) receive(r *recorder) error {
	for {
		_, err := h.in.Peek(1)
		if err != nil {
			if again, err := h.afterSilence(err); !again {
				return err
			}
			continue
		}
		frame, err := h.framer.ReadFrame()
		if err != nil {
			_, err = h.afterSilence(err)
			return err
		}
		h.mu.Lock()
		err = h.take(frame, r)
		if err == nil && h.in.Buffered() == 0 {
			err = errors.Join(h.deadline.extend(time.Now()), h.out.Flush())
		}
		if err == nil && h.leaving && len(h.streams) == 0 {
			err = errReopen
		}
		h.free.Signal()
		h.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// afterSilence says what a failed read means: a connection on which nothing is
// due may be silent for longer than an answer may take.
func (h *http2Pace) afterSilence(err error) (again bool, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.over:
		return false, nil
	case h.err != nil:
		return false, h.err
	case errors.Is(err, os.ErrDeadlineExceeded) && len(h.streams) == 0:
		h.deadline.set = time.Time{}
		return true, h.deadline.extend(time.Now())
	}
	return false, noEOF(err)
}
