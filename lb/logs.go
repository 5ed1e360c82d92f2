package lb

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-lb/postern/internal/logfile"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/listener"
)

// logFlush bounds how long lines may take to reach the disk when a log closes.
const logFlush = 5 * time.Second

// logs holds the connection log and the access log. Reloads keep a log whose
// settings did not change. It is guarded by the reload that uses it.
type logs struct {
	logger             *slog.Logger
	connection, access *openLog
}

type openLog struct {
	name    string // connection or access
	config  config.Log
	writer  *logfile.Writer
	log     *listener.Log
	unwatch func() // takes its metrics away; nil while it is only planned
}

// planLogs opens the logs that desired names and that are not open yet.
func (p *plan) planLogs(running *logs) {
	p.logs = &logs{logger: running.logger}
	p.logs.connection = p.planLog("connection", p.desired.Logs.Connection, running.connection)
	p.logs.access = p.planLog("access", p.desired.Logs.Access, running.access)
}

func (p *plan) planLog(name string, want *config.Log, running *openLog) *openLog {
	switch {
	case want == nil:
		return nil
	case running != nil && running.config == *want:
		return running
	}
	writer, err := logfile.Open(logfile.Options{
		Path: want.Path, MaxSize: int64(want.MaxSize), MaxBackups: want.MaxBackups, Queue: want.Queue, Logger: p.logs.logger,
	})
	if err != nil {
		p.reading.faults.Add("logs."+name+".path", "%v", err)
		return nil
	}
	return &openLog{
		name: name, config: *want, writer: writer,
		log: &listener.Log{Writer: writer, JSON: want.Format == config.LogJSON},
	}
}

// sink is what a listener writes to; nil if the log is off.
func (o *openLog) sink() *listener.Log {
	if o == nil {
		return nil
	}
	return o.log
}

// closeExcept closes the logs of l that kept does not have.
func (l *logs) closeExcept(kept *logs) {
	for _, o := range []*openLog{l.connection, l.access} {
		if o == nil || (kept != nil && (o == kept.connection || o == kept.access)) {
			continue
		}
		if o.unwatch != nil {
			o.unwatch()
		}
		ctx, cancel := context.WithTimeout(context.Background(), logFlush)
		if err := o.writer.Close(ctx); err != nil {
			l.logger.Error("closing a log", "file", o.config.Path, "error", err)
		}
		cancel()
	}
}

// watch adds the metrics of the logs that have none yet.
func (l *logs) watch(m *listener.Metrics) {
	for _, o := range []*openLog{l.connection, l.access} {
		if o != nil && o.unwatch == nil {
			o.unwatch = m.WatchLog(o.name, o.writer)
		}
	}
}

// reopen opens the files again by name, after logrotate moved them away.
func (l *logs) reopen() error {
	for _, o := range []*openLog{l.connection, l.access} {
		if o == nil {
			continue
		}
		if err := o.writer.Reopen(); err != nil {
			return fmt.Errorf("reopening %s: %w", o.config.Path, err)
		}
	}
	return nil
}
