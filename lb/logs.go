package lb

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

// planLogs opens the logs that desired names and that are not open yet, or with
// checkOnly says whether that could be done.
func (p *plan) planLogs(running *logs, checkOnly bool) {
	p.logs = &logs{logger: running.logger}
	if checkOnly {
		p.checkLog("connection", p.desired.Logs.Connection)
		p.checkLog("access", p.desired.Logs.Access)
		return
	}
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
	backups := want.MaxBackups
	if backups == 0 {
		backups = -1 // none; to package logfile 0 is its default
	}
	writer, err := logfile.Open(logfile.Options{
		Path: want.Path, MaxSize: int64(want.MaxSize), MaxBackups: backups, Queue: want.Queue, Logger: p.logs.logger,
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

// checkLog notes why a log could not be opened, as far as that can be known without
// making it.
func (p *plan) checkLog(name string, want *config.Log) {
	if want == nil || want.Path == "-" {
		return
	}
	at := "logs." + name + ".path"
	if info, err := os.Stat(want.Path); err == nil && info.IsDir() {
		p.reading.faults.Add(at, "%s is a folder: name a file in it", want.Path)
		return
	}
	for dir := filepath.Dir(want.Path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			p.reading.faults.Add(at, "%s is no folder, so %s cannot be made below it: correct the path", dir, want.Path)
		}
		if err == nil || dir == filepath.Dir(dir) {
			return
		}
	}
}

// without returns the logs of l that kept does not have.
func (l *logs) without(kept *logs) []*openLog {
	var out []*openLog
	for _, o := range []*openLog{l.connection, l.access} {
		if o != nil && o != kept.connection && o != kept.access {
			out = append(out, o)
		}
	}
	return out
}

// closeExcept closes the logs of l that kept does not have.
func (l *logs) closeExcept(kept *logs) {
	for _, o := range l.without(kept) {
		o.close(l.logger)
	}
}

// forget takes the metrics of a log away.
func (o *openLog) forget() {
	if o.unwatch != nil {
		o.unwatch()
		o.unwatch = nil
	}
}

// close writes what waits and closes the file.
func (o *openLog) close(logger *slog.Logger) {
	o.forget()
	ctx, cancel := context.WithTimeout(context.Background(), logFlush)
	defer cancel()
	if err := o.writer.Close(ctx); err != nil {
		logger.Error("closing a log", "file", o.config.Path, "error", err)
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
