package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// TreeMemory returns the resident memory of process pid and all its descendants
// now, pages that they share counted once, and the most that any one of them
// ever had, in bytes. It reads /proc.
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
		folder := filepath.Join("/proc", strconv.Itoa(id))
		status, err := os.ReadFile(filepath.Join(folder, "status"))
		if err != nil {
			continue // it has ended since
		}
		peak = max(peak, statusBytes(string(status), "VmHWM:"))
		if shares, err := os.ReadFile(filepath.Join(folder, "smaps_rollup")); err == nil {
			resident += statusBytes(string(shares), "Pss:")
		} else {
			resident += statusBytes(string(status), "VmRSS:")
		}
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
