package targetgroup

import (
	"net/http"

	"github.com/postern-lb/postern/internal/http1"
)

// An Exchange is the room that one request takes on its way through a [Group], for
// [Group.Do]. After [Exchange.Reset] it serves another, of any group. The zero value is
// ready. It belongs to the goroutine of its request.
type Exchange struct {
	// Trace is what the group notes about the request; read it after Do.
	Trace Trace
	// Fields are headers that the target gets besides those of the request, in place of
	// such of the same names; nil is none.
	Fields *http1.Fields
	// Informed is told of the target's informational responses; nil discards them.
	Informed func(status int, h http.Header) error

	call call
}

// Discard is for an exchange that will not serve again: nothing refers to it any more
// when its request is over. It may be called before that, and after Reset.
func (x *Exchange) Discard() { x.call.discard() }

// Reset makes x ready for another request, and reports whether it is. It is not while
// the response's body is open or the request's is being sent, and after an upgrade or a
// request over HTTP/2; then x is of no more use, and to be discarded.
func (x *Exchange) Reset() bool {
	x.Trace, x.Fields, x.Informed = Trace{}, nil, nil
	return x.call.reset()
}
