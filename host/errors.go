package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// Kinds of failure that only the engine can see.
var (
	// ErrDamaged means that a backup, or the database to be backed up, is not
	// whole: something is missing, changed or unreadable.
	ErrDamaged = errors.New("damaged")

	// ErrUsage means that what was asked for cannot be done as it was asked.
	ErrUsage = errors.New("cannot be done")

	// ErrNoLocation means that the storage says there is no such place, as opposed
	// to one that holds no backups.
	ErrNoLocation = errors.New("no such location")

	// ErrConflict means that another writer took this backup's place in the
	// series. Nothing of this backup is visible.
	ErrConflict = errors.New("another backup was committed at the same time")

	// ErrUnknown means that the destination failed while a backup was being
	// committed, and does not say whether it was.
	ErrUnknown = errors.New("outcome not known")

	// ErrKeyMissing means that only encrypted backups can continue the series, and
	// ErrKeyGiven that only those can that are not.
	ErrKeyMissing = errors.New("its last backup is encrypted and no key was given")
	ErrKeyGiven   = errors.New("its last backup is not encrypted and a key was given")
)

// IsDamage reports whether err says that a backup or a database is damaged, as
// opposed to out of reach.
func IsDamage(err error) bool {
	for _, kind := range []error{
		ErrDamaged, manifest.ErrCorrupt, manifest.ErrGap, dgraph.ErrCorrupt, badgerdb.ErrDamaged,
		backupfile.ErrCorrupt, backupfile.ErrTruncated, sdk.ErrCorrupt,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// IsUsage reports whether err can be cured by asking differently: another flag,
// another key, another target.
func IsUsage(err error) bool {
	for _, kind := range []error{ErrUsage, manifest.ErrNoBackup, manifest.ErrUnfit, fs.ErrInvalid} {
		if errors.Is(err, kind) {
			return !IsDamage(err)
		}
	}
	return false
}

// Hint returns what the user can do about err, or "".
func Hint(err error) string {
	var f *failure
	if errors.As(err, &f) && f.hint != "" {
		return f.hint
	}
	switch {
	case errors.Is(err, backupfile.ErrWrongKey), errors.Is(err, sdk.ErrWrongKey):
		return "give the key file that this series was encrypted with"
	case errors.Is(err, manifest.ErrGap):
		return "a backup of the chain is missing: bring it back, or restore an earlier one with --backup_num"
	case errors.Is(err, sdk.ErrPermission):
		return "check the credentials, or the owner and mode of the files"
	case errors.Is(err, sdk.ErrNoSpace):
		return "free some space and try again; nothing of this backup is visible"
	}
	return ""
}

// A failure is an error of one of the engine's kinds, with a remedy beside its
// text.
type failure struct {
	error
	kind error
	hint string
}

func (f *failure) Unwrap() []error { return []error{f.error, f.kind} }

func usage(hint, format string, args ...any) error {
	return &failure{fmt.Errorf(format, args...), ErrUsage, hint}
}

func damaged(hint, format string, args ...any) error {
	return &failure{fmt.Errorf(format, args...), ErrDamaged, hint}
}
