//go:build !linux

package main

import "syscall"

// harden keeps the keys that pass through this process out of core dumps.
func harden() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
