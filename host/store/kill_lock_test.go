package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/store"
)

// A lock that is only held for a moment, as by a process that is being started, is waited
// for; one that stays is told of.
func TestLocks(t *testing.T) {
	t.Parallel()
	w := newPeople(t, 2)
	w.close()
	for _, dir := range []string{"brock-log", "p2"} {
		f, err := os.Open(filepath.Join(w.opt.Dir, dir))
		w.must(err)
		w.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
		time.AfterFunc(100*time.Millisecond, func() { f.Close() })
		w.open()
		w.check("opened while " + dir + " was locked")
		w.close()
	}
	w.open()
	if _, err := store.Open(t.Context(), w.opt); !errors.Is(err, badgerdb.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
}
