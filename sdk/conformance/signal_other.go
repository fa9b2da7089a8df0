//go:build !unix

package conformance

import (
	"os"
	"os/exec"
)

// There are no such signals here. Checks that need them are skipped: see
// needProc.
func stop(int)   {}
func resume(int) {}

func terminate(pid int) { kill(pid) }

func kill(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func ownGroup(*exec.Cmd) {}

func watched(*exec.Cmd) (unwatch func()) { return func() {} }

func spent() (seconds float64) { return 0 }
