package badgerdb

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Background lets everything else on the machine go before the calling goroutine, until
// that ends: a backup beside writes takes the processors that they leave. It is for
// a goroutine of its own, whose thread ends with it.
func Background() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 15) // who may not be polite works as before
}
