//go:build unix

package conformance

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

func stop(pid int)      { _ = syscall.Kill(pid, syscall.SIGSTOP) }
func resume(pid int)    { _ = syscall.Kill(pid, syscall.SIGCONT) }
func kill(pid int)      { _ = syscall.Kill(pid, syscall.SIGKILL) }
func terminate(pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) }

// ownGroup has a command and all that it starts end together.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// watched gives a command a liveness pipe: it sees when this process ends.
func watched(cmd *exec.Cmd) (unwatch func()) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cmd.Env, handshake.LivenessEnv+"=3")
	return func() {
		theirs.Close()
		ours.Close()
	}
}

// spent is the processor time of this process.
func spent() (seconds float64) {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec) + float64(u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
