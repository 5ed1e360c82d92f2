package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// TreeMemory returns the resident memory of process pid and all its descendants
// now, and the sum of the most that each of them ever had, in bytes. Pages that
// they share count once for each, so compare differences. It reads /proc.
func TreeMemory(pid int) (resident, peak int64, err error) {
	processes, err := readProcesses()
	if err != nil {
		return 0, 0, fmt.Errorf("reading memory of process %d: %w", pid, err)
	}
	if _, ok := processes[pid]; !ok {
		return 0, 0, fmt.Errorf("reading memory of process %d: %w", pid, os.ErrNotExist)
	}
	for id := range processes {
		if !descends(processes, id, pid) {
			continue
		}
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(id), "status"))
		if err != nil {
			continue // it has ended since
		}
		resident += statusBytes(string(status), "VmRSS:")
		peak += statusBytes(string(status), "VmHWM:")
	}
	return resident, peak, nil
}

// statusBytes reads one field of proc(5) status, which is in kB.
func statusBytes(status, name string) int64 {
	_, rest, _ := strings.Cut(status, "\n"+name)
	line, _, _ := strings.Cut(rest, "\n")
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
	if err != nil {
		return 0 // a process without memory has no such line
	}
	return kilobytes << 10
}
