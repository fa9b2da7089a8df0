package store

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/badgerdb"
)

// lockPatience is how long a lock is asked for again. A process that is being started holds
// its parent's open files, and their locks, until it runs its own program: whoever closes a
// directory and opens it again may find it in use for a moment.
const lockPatience = time.Second

// patiently tries again while something is in use.
func patiently(try func() error) error {
	for began := time.Now(); ; {
		err := try()
		if err == nil || !inUse(err) || time.Since(began) > lockPatience {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
}

// inUse knows Badger's error by its text: it has no other mark.
func inUse(err error) bool {
	return errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, badgerdb.ErrLocked) ||
		strings.Contains(err.Error(), "Cannot acquire directory lock")
}
