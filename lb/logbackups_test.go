package lb

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-lb/postern/lb/config"
)

func TestLogBackupsAreAsConfigured(t *testing.T) {
	for _, backups := range []int{0, 1} {
		path := filepath.Join(t.TempDir(), "access.log")
		p := &plan{reading: newReading(), desired: &config.File{}}
		p.desired.Logs.Access = &config.Log{Path: path, MaxSize: 16, MaxBackups: backups, Queue: 10}
		p.planLogs(&logs{logger: slog.New(slog.DiscardHandler)}, false)
		if err := p.reading.faults.Err(); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := p.logs.access.writer.Write([]byte("a line of a log\n")); err != nil {
				t.Fatal(err)
			}
		}
		p.logs.closeExcept(&logs{})
		files, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 1+backups {
			t.Errorf("max_backups %d: %d files, want %d", backups, len(files), 1+backups)
		}
	}
}
