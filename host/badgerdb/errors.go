package badgerdb

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrLocked means another process has the directory open for writing. The
	// error is a [*LockedError].
	ErrLocked = errors.New("in use by another process")

	// ErrNotClosed means the database was killed and not opened since: its logs
	// end somewhere in what has been reserved for them.
	ErrNotClosed = errors.New("not closed properly")

	// ErrNotBadger means there is no Badger database in the directory.
	ErrNotBadger = errors.New("not a Badger directory")

	// ErrVersion means a Badger database of a version that cannot be read.
	ErrVersion = errors.New("unsupported version of Badger")

	// ErrKey means an encrypted database without its key, or the reverse.
	ErrKey = errors.New("encryption key does not fit")

	// ErrDamaged means that something stored cannot be read back. From
	// [Source.Read] it is a [*DamagedError].
	ErrDamaged = errors.New("damaged")

	// ErrOrder means keys that were not written in ascending order.
	ErrOrder = errors.New("keys out of order")

	// ErrDropPending means a drop that a crash cut short: see [FinishDrop].
	ErrDropPending = errors.New("unfinished drop")
)

// A LockedError names the directory that another process has open.
type LockedError struct {
	Dir string
	Pid int // 0: not known
}

func (e *LockedError) Error() string {
	who := "another process has this database open"
	if e.Pid != 0 {
		who = fmt.Sprintf("process %d has this database open", e.Pid)
	}
	return fmt.Sprintf("%s: %s; stop it first, or back up a copy or snapshot of the directory", e.Dir, who)
}

// Is makes it an [ErrLocked].
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// A DamagedError lists what could not be read.
type DamagedError struct {
	Keys []string // each with what was found, or the range of keys that a lost block held
	More int      // how many are not listed
}

func (e *DamagedError) Error() string {
	s := "damaged: " + strings.Join(e.Keys, "; ")
	if e.More > 0 {
		s += fmt.Sprintf("; and %d more", e.More)
	}
	return s
}

// Is makes it an [ErrDamaged].
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
