package http1

import (
	"io"
	"net/http"
	"sync"
)

// A responseBody is the body of a target's response. Its end, or Close, is the end of
// the call.
type responseBody struct {
	call *Call
	mu   sync.Mutex // held while reading
	decoder
	done bool // guarded by mu: the connection is no longer the call's
}

// Read implements io.Reader. An error that is the context's is its cause.
func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, b.err
	}
	n, err := b.read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.keepTrailer()
	} else if cause := b.call.canceled(); cause != nil {
		err, b.err = cause, cause
	}
	b.finish(err == io.EOF && b.mode != modeClose && !b.call.res.Close)
	return n, err
}

// finish is called once; the caller holds mu.
func (b *responseBody) finish(reuse bool) {
	b.done = true
	b.call.end(reuse)
	b.in = nil // belongs to the connection's next call now
}

func (b *responseBody) keepTrailer() {
	res := &b.call.res
	if b.trailer == nil {
		return
	}
	if res.Trailer == nil {
		res.Trailer = make(http.Header, len(b.trailer))
	}
	for name, values := range b.trailer {
		res.Trailer[name] = values
	}
}

// Close implements io.Closer. It may be called while another goroutine reads, and
// breaks the connection then.
func (b *responseBody) Close() error {
	if !b.mu.TryLock() {
		b.call.kill()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.done {
		return nil
	}
	reuse := false
	if b.mode == modeLength && b.ready() { // nothing to wait for
		b.in.r += int(b.left)
		reuse = !b.call.res.Close
	}
	b.err = http.ErrBodyReadAfterClose
	b.finish(reuse)
	return nil
}
