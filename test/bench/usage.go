package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuTime is what the threads of processes have used, with the softirqs that ran on
// top of them. /proc/PID/stat counts in 10 ms, and /proc/stat is wrong at low loads.
func cpuTime(pids ...int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // the thread has ended
			}
			sum += parseSchedstat(string(b))
		}
	}
	return sum
}

// parseSchedstat returns the time on a processor, the first of three numbers, in
// nanoseconds (Linux Documentation/scheduler/sched-stats).
func parseSchedstat(s string) time.Duration {
	first, _, _ := strings.Cut(s, " ")
	ns, _ := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	return time.Duration(ns)
}

// softirqThreads are the kernel's threads for softirqs that were put off.
func softirqThreads() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), "ksoftirqd/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// resident is a process' memory in MiB, 0 if it is gone.
func resident(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024
		}
	}
	return 0
}

// parseSNMP6 reads one counter of /proc/net/snmp6.
func parseSNMP6(text, name string) uint64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// parsePing returns the round trip times that ping printed, in microseconds.
func parsePing(text string) []float64 {
	var list []float64
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(line, " time=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, " ")
		if ms, err := strconv.ParseFloat(number, 64); err == nil {
			list = append(list, ms*1000)
		}
	}
	return list
}
