//go:build !unix

package launch

import (
	"os"
	"os/exec"
	"syscall"
)

// livenessFD is the number of no descriptor: there is no liveness pipe here.
const livenessFD = -1

func isolate(*exec.Cmd, *os.File) {}

func signalGroup(pid int, _ syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
