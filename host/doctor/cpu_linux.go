package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The kernel tells times in this unit on every architecture.
const tick = 10 * time.Millisecond

// processCPU returns the CPU time that a process has taken so far, or -1.
func processCPU(pid int) time.Duration {
	if pid <= 0 {
		return -1
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return -1
	}
	_, rest, ok := strings.Cut(string(data), ") ") // the name may contain anything but this
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return -1
	}
	var sum time.Duration
	for _, f := range fields[11:15] { // its own, and that of children that have ended
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return -1
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

func hostCPU() time.Duration { return max(processCPU(os.Getpid()), 0) }

// peakMemory returns the most memory, in bytes, that a process has had so far, or
// 0.
func peakMemory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
