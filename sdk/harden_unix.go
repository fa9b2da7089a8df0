//go:build unix && !linux

package sdk

import "syscall"

// harden keeps what the process knows out of core dumps.
func harden(string) { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
