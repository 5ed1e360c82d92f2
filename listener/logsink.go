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

// connection writes one line; a nil Log writes none.
func (l *Log) connection(e *ConnEntry) {
	if l == nil {
		return
	}
	if l.JSON {
		l.write(e.AppendJSON)
	} else {
		l.write(e.AppendALB)
	}
}

// access writes one line; a nil Log writes none.
func (l *Log) access(e *AccessEntry) {
	if l == nil {
		return
	}
	if l.JSON {
		l.write(e.AppendJSON)
	} else {
		l.write(e.AppendALB)
	}
}

func (l *Log) write(appendTo func([]byte) []byte) {
	b, _ := l.buffers.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	*b = append(appendTo((*b)[:0]), '\n')
	l.Writer.Write(*b) // never fails; what it drops it counts
	l.buffers.Put(b)
}
