//go:build unix && !linux

package launch

import (
	"os"
	"os/exec"
	"syscall"
)

// livenessFD is the liveness pipe's number in the plugin.
const livenessFD = 3

// isolate puts the plugin into a process group of its own, and lets it see that
// the host has gone.
func isolate(cmd *exec.Cmd, liveness *os.File) {
	cmd.ExtraFiles = []*os.File{liveness}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func signalGroup(pid int, sig syscall.Signal) { _ = syscall.Kill(-pid, sig) }
