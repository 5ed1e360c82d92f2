package listener

import (
	"errors"
	"io"
	"net/http"
)

var (
	errSwitchedOtherwise = errors.New("the target switched to another protocol than the client asked for")
	errNotWritable       = errors.New("the target's connection cannot be written to")
)

// tunnel joins client and target after a 101, until one of them fails, both have
// ended, or the idle timeout has passed. The end of one direction is passed on and
// leaves the other open.
func (x *exchange) tunnel(res *http.Response) {
	defer res.Body.Close()
	target, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		x.forwardFailed(errNotWritable)
		return
	}
	asked, got := x.out.Header["Upgrade"], res.Header["Upgrade"]
	if len(asked) != 1 || len(got) != 1 || !equalFoldASCII(asked[0], got[0]) {
		x.forwardFailed(errSwitchedOtherwise)
		return
	}
	x.p.responses.Apply(res.Header)
	x.w.countHeader(res.StatusCode, res.Header)
	client, err := x.w.switchProtocols(res.Header)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	both := make(chan error, 2)
	go func() { both <- x.l.pump(target, client) }()
	go func() { both <- x.l.pump(client, target) }()
	if <-both == nil {
		<-both
	}
}

// pump copies one direction and passes its end on, if it can be.
func (l *Listener) pump(to io.Writer, from io.Reader) error {
	buf := l.buffer()
	defer l.buffers.Put(buf)
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf[:]); err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return io.EOF
	}
	return half.CloseWrite()
}
