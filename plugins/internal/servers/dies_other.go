//go:build !linux

package servers

import "syscall"

// diesWithUs are the attributes of a process that, here, outlives one that started it and was killed.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
