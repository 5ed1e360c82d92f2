package logfile

import (
	"bytes"
	"fmt"
	"time"
)

// run owns the file until Close.
func (w *Writer) run() {
	defer close(w.done)
	defer w.file.close()
	for {
		select {
		case <-w.wake:
			w.gather()
			w.flush()
		case answer := <-w.reopen:
			answer <- w.file.reopen()
		case <-w.stop:
			w.flush()
			return
		}
	}
}

// gather waits until a write is worth its while: a tenth of a second after the
// first line, or sooner if there is much.
func (w *Writer) gather() {
	timer := time.NewTimer(flushDelay)
	defer timer.Stop()
	select {
	case <-w.full:
	case <-timer.C:
	case <-w.stop:
	}
}

// flush writes all that waits, however long the file refuses it, unless the log
// is being closed.
func (w *Writer) flush() {
	batch := w.take()
	left := batch
	for len(left) > 0 {
		n, err := w.file.write(left)
		left = left[n:]
		if err == nil {
			continue
		}
		w.fault(err)
		if left = w.pause(batch, left); left == nil {
			w.err = fmt.Errorf("closing log %q: %w", w.path, err)
			return
		}
	}
	w.reportLost()
	w.recovered()
	w.keep(batch)
}

// keep makes the written batch the spare buffer. One that a burst made large is
// given back to the garbage collector when little of it has been used for a
// while; at once would be too soon, as it would have to grow again in each lull.
func (w *Writer) keep(batch []byte) {
	w.spare = batch[:0]
	switch {
	case cap(batch) <= keepBytes:
	case len(batch) >= cap(batch)/8:
		w.idle = 0
	case w.idle < keepFlushes:
		w.idle++
	default:
		w.spare, w.idle = nil, 0
	}
}

// take swaps the buffers and returns the lines that waited.
func (w *Writer) take() []byte {
	select {
	case <-w.full: // said of these lines
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := w.pending
	w.pending, w.lines, w.spare = w.spare, 0, nil
	return batch
}

// pause waits before another try to write left, the rest of batch, and returns
// what is to be tried, or nil if Close has had its last try.
func (w *Writer) pause(batch, left []byte) []byte {
	timer := time.NewTimer(retryDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
		if err := w.file.watch(); err != nil {
			w.fault(err)
		}
	case answer := <-w.reopen:
		answer <- w.file.reopen()
	case <-w.stop:
		if w.lastTry {
			w.dropped.Add(uint64(bytes.Count(left, []byte{'\n'})))
			return nil
		}
		w.lastTry = true
	}
	return batch[w.file.resume(batch, len(batch)-len(left)):]
}

// fault counts an error and reports it, if nothing was reported for a while.
func (w *Writer) fault(err error) {
	w.faults.Add(1)
	if now := time.Now(); now.Sub(w.told) >= reportPeriod {
		w.told, w.failing = now, true
		w.log.Error("log cannot be written; lines wait, and are dropped when the queue is full",
			"log", w.path, "error", err, "errors", w.faults.Load(), "dropped", w.dropped.Load())
	}
}

// reportLost says once a period that lines were dropped.
func (w *Writer) reportLost() {
	lost := w.dropped.Load()
	if now := time.Now(); lost > w.toldLost && now.Sub(w.told) >= reportPeriod {
		w.log.Warn("log lines were dropped", "log", w.path, "now", lost-w.toldLost, "dropped", lost)
		w.told, w.toldLost = now, lost
	}
}

// recovered says that writing works again, if trouble was reported.
func (w *Writer) recovered() {
	if w.failing {
		w.failing = false
		w.log.Info("log is written again", "log", w.path, "dropped", w.dropped.Load())
	}
}
