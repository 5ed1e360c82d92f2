package http1

import (
	"context"
	"testing"
)

// derivingCall cancels a context that was derived from the request's, as a call that
// is still dialling does.
type derivingCall struct{ cancel context.CancelFunc }

func (c derivingCall) Cancel(error) { c.cancel() }

func TestContextBreaksACallThatDials(t *testing.T) {
	conn := &conn{ctx: t.Context()}
	var c requestContext
	c.renew(conn)
	derived, cancel := context.WithCancel(&c)
	call := derivingCall{cancel}
	if !c.Attach(&call) {
		t.Error("the context has room for a call")
	}
	c.cancel()
	<-derived.Done()
	c.Detach(&call)
}
