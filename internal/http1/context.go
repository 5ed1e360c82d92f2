package http1

import (
	"context"

	"github.com/postern-lb/postern/internal/engine"
)

// A requestContext is the context of one request. It knows the connection, which is
// asked for more than once in a request, without going through the other values.
type requestContext struct {
	engine.Context
	conn *conn // fixed while the request is being served
}

var _ context.Context = (*requestContext)(nil)

// Value implements context.Context: the connection's values.
func (c *requestContext) Value(key any) any {
	if _, ours := key.(connKey); ours {
		return c.conn
	}
	return c.Context.Value(key)
}

// renew makes the context that of another request of a connection.
func (c *requestContext) renew(conn *conn) {
	c.conn = conn
	c.Renew(conn.ctx, conn)
}

// clear leaves the context to no request, for the next one.
func (c *requestContext) clear() {
	c.conn = nil
	c.Renew(context.Background(), nil)
}
