package sdk

import (
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// harden keeps what the process knows out of core dumps. For a destination the
// limit on their size does it. A key provider is dumped to no program either,
// and no other process of this user may look into it: this costs root's help to
// attach a debugger or to count its descriptors, so that only keys are worth it.
func harden(kind string) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if kind == handshake.KeyProvider {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
}
