//go:build unix

package sdk

import (
	"os"
	"os/signal"
	"syscall"
)

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

// endGroup signals the plugin's process group, if it leads one: a plugin that a
// debugger started must not end the debugger.
func endGroup(sig syscall.Signal) {
	if syscall.Getpgrp() != os.Getpid() {
		return
	}
	signal.Ignore(syscall.SIGTERM)
	_ = syscall.Kill(-os.Getpid(), sig)
}
