package listener

import (
	"io"
	"sync"
)

// A Log takes the lines of the connection log or the access log.
type Log struct {
	// Writer takes one whole line a call. It must not block, and must copy what it
	// keeps (see internal/logfile).
	Writer io.Writer
	// JSON writes objects instead of ALB's fields.
	JSON bool

	buffers sync.Pool // of *[]byte
}

// A logEntry is what one line says: a [ConnEntry] or an [AccessEntry].
type logEntry interface {
	AppendALB([]byte) []byte
	AppendJSON([]byte) []byte
}

// write writes one line; a nil Log writes none.
func (l *Log) write(e logEntry) {
	if l == nil {
		return
	}
	b, _ := l.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	if l.JSON {
		*b = e.AppendJSON((*b)[:0])
	} else {
		*b = e.AppendALB((*b)[:0])
	}
	*b = append(*b, '\n')
	l.Writer.Write(*b) // never fails; what it drops it counts
	l.buffers.Put(b)
}
