//go:build unix

package socket

import (
	"net"
	"os"
	"syscall"
)

// buffer is what the kernel may keep of each direction, if it allows as much: the
// more that is, the less often the two ends wake each other, and the less does
// whoever reads from a storage wait for the other end.
const buffer = 4 << 20

// Pair makes two connected sockets. No process inherits either, unless it is
// given to it.
func Pair() (ours *net.UnixConn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, buffer) // slower without
		}
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "socket")
	theirs = os.NewFile(uintptr(fds[1]), "socket")
	conn, err := net.FileConn(f)
	_ = f.Close() // ours has a descriptor of its own
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}
