package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat. The kernel's USER_HZ is
// 100 on every architecture that Go runs on (proc(5), sysconf(_SC_CLK_TCK)).
const clockTick = 10 * time.Millisecond

// A process is what one /proc/PID/stat says, as far as we use it.
type process struct {
	parent int
	own    time.Duration // user and system time of the process's threads
	reaped time.Duration // of its descendants that have ended and were waited for
}

// ProcessCPU returns the user and system time, so far, of process pid alone, to
// 10 ms. It reads /proc and fails where there is none.
func ProcessCPU(pid int) (time.Duration, error) {
	p, err := readProcess(strconv.Itoa(pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU time of process %d: %w", pid, err)
	}
	return p.own, nil
}

// TreeCPU returns the user and system time, so far, of process pid and all its
// descendants, dead ones included once they have been waited for, to 10 ms a
// process. It reads /proc and fails where there is none or pid has ended. A
// child that is adopted by another process leaves the tree with its time.
func TreeCPU(pid int) (time.Duration, error) {
	processes, err := readProcesses()
	if err != nil {
		return 0, fmt.Errorf("reading CPU time of process %d: %w", pid, err)
	}
	if _, ok := processes[pid]; !ok {
		return 0, fmt.Errorf("reading CPU time of process %d: %w", pid, os.ErrNotExist)
	}
	var total time.Duration
	for id, p := range processes {
		if descends(processes, id, pid) {
			total += p.own + p.reaped
		}
	}
	return total, nil
}

// descends reports whether process id is ancestor or below it. The walk is
// bounded because the files are not read at one instant: a reused id could
// make a loop.
func descends(processes map[int]process, id, ancestor int) bool {
	for range len(processes) {
		if id == ancestor {
			return true
		}
		p, ok := processes[id]
		if !ok {
			return false
		}
		id = p.parent
	}
	return false
}

func readProcesses() (map[int]process, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	processes := make(map[int]process, len(names))
	for _, name := range names {
		id := filepath.Base(name)
		pid, err := strconv.Atoi(id)
		if err != nil {
			continue
		}
		// A process that ended since the listing is no error.
		if p, err := readProcess(id); err == nil {
			processes[pid] = p
		}
	}
	return processes, nil
}

func readProcess(id string) (process, error) {
	data, err := os.ReadFile(filepath.Join("/proc", id, "stat"))
	if err != nil {
		return process{}, err
	}
	return parseStat(string(data))
}

// parseStat reads one line of proc(5) stat: field 4 is the parent, 14 and 15
// are utime and stime, 16 and 17 cutime and cstime. The command in field 2 may
// hold spaces and parentheses, so fields are counted from its last one.
func parseStat(line string) (process, error) {
	const afterCommand = 3 // the field that follows the command
	_, rest, ok := cutLast(line, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) <= 17-afterCommand {
		return process{}, fmt.Errorf("parsing process state %q: too few fields", line)
	}
	var values [5]int
	for i, field := range []int{4, 14, 15, 16, 17} {
		v, err := strconv.Atoi(fields[field-afterCommand])
		if err != nil {
			return process{}, fmt.Errorf("parsing process state: field %d: %w", field, err)
		}
		values[i] = v
	}
	return process{
		parent: values[0],
		own:    time.Duration(values[1]+values[2]) * clockTick,
		reaped: time.Duration(values[3]+values[4]) * clockTick,
	}, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
