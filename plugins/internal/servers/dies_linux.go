package servers

import "syscall"

// diesWithUs are the attributes of a process that ends when the one that started it does, even if that is killed.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
