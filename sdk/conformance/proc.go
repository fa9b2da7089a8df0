package conformance

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A proc is a process, and not another one that got its number later.
type proc struct {
	pid   int
	start string // when it began; "" where nobody tells
}

// needProc ends a check that looks at processes from outside.
func (t *trial) needProc() {
	if runtime.GOOS != "linux" {
		t.Skipf("needs /proc, which %s does not have", runtime.GOOS)
	}
}

// stat returns what follows a process's name in its status: its state is the
// first, its parent the second.
func stat(pid int) []string { return statOf(procFile(pid, "stat")) }

func statOf(file string) []string {
	data, _ := os.ReadFile(file)
	i := bytes.LastIndexByte(data, ')') // the name may have some, too
	if f := strings.Fields(string(data[i+1:])); i >= 0 && len(f) > 20 {
		return f
	}
	return nil
}

// threadsAre reports whether all threads of a process are in a state.
func threadsAre(pid int, state string) bool {
	files, _ := filepath.Glob(procFile(pid, "task/*/stat"))
	for _, file := range files {
		if f := statOf(file); f != nil && f[0] != state {
			return false
		}
	}
	return len(files) > 0
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// family returns a process and all that it has started, also what has left its
// group or lost its parent.
func family(pid int) []proc {
	parents, groups := map[int]int{}, map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			if f := stat(n); f != nil {
				parents[n], _ = strconv.Atoi(f[1])
				groups[n], _ = strconv.Atoi(f[2])
			}
		}
	}
	all := []proc{procOf(pid)}
	for n := range parents {
		for p, hops := n, 0; p > 1 && hops < 100; p, hops = parents[p], hops+1 {
			if n != pid && (p == pid || groups[n] == pid) {
				all = append(all, procOf(n))
				break
			}
		}
	}
	return all
}

func procOf(pid int) proc {
	p := proc{pid: pid}
	if f := stat(pid); f != nil {
		p.start = f[19]
	}
	return p
}

// alive reports whether the process is there, and more than a zombie.
func (p proc) alive() bool {
	f := stat(p.pid)
	return f != nil && f[0] != "Z" && f[0] != "X" && f[19] == p.start
}

// A usage is what a process holds.
type usage struct {
	files, threads int
	memory         int64 // resident, in bytes
}

func usageOf(pid int) usage {
	var u usage
	files, _ := os.ReadDir(procFile(pid, "fd"))
	u.files = len(files)
	status, _ := os.ReadFile(procFile(pid, "status"))
	for line := range bytes.Lines(status) {
		name, value, _ := strings.Cut(string(line), ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "Threads":
			u.threads = int(n)
		case "VmRSS":
			u.memory = n << 10
		}
	}
	return u
}

// tick is in what Linux counts the time of a process.
const tick = 10 * time.Millisecond

// cpu returns the processor time that a process has used.
func cpu(pid int) time.Duration {
	f := stat(pid)
	if f == nil {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick
}

// eventually waits until f is true, and reports whether it is in time.
func eventually(d time.Duration, f func() bool) bool {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(d); !f(); <-poll.C {
		if time.Now().After(end) {
			return f()
		}
	}
	return true
}

// gone wants processes to end, and ends those that do not.
func (t *trial) gone(when string, all []proc) {
	for i, p := range all {
		if eventually(lifeTime, func() bool { return !p.alive() }) {
			continue
		}
		what := "the plugin"
		if i > 0 {
			what = "a process that the plugin has started"
		}
		t.Errorf("%s, %s (%d) is still there after %v", when, what, p.pid, lifeTime)
		if q, err := os.FindProcess(p.pid); err == nil {
			_ = q.Kill()
		}
	}
}

// lifeTime is how long a plugin may be there when it should be gone. It is
// promised within two seconds; a machine may be busy.
var lifeTime = 8 * time.Second
