package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// lockWait is longer than a dead holder is waited for.
const lockWait = 2 * time.Minute

// lock keeps every other writer away from u's object until unlock is called.
//
// The lock is a file, made with O_EXCL: that works between all clients of a
// server, also where a share is mounted without a lock daemon. Its holder has
// it locked, which tells those on the same machine whether the holder lives;
// see dead.
func lock(ctx context.Context, u *upload) (unlock func(), err error) {
	name := lockName(u.base)
	give := time.NewTimer(lockWait)
	defer give.Stop()
	for {
		f, err := u.dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, u.d.fileMode)
		switch {
		case err == nil && mine(u.dir, name, f):
			_, _ = f.WriteString(thisBoot())
			return func() {
				if isAt(u.dir, name, f) {
					_ = u.dir.Remove(name)
				}
				f.Close()
			}, nil
		case err == nil:
			f.Close() // taken for a dead one's
		case errors.Is(err, fs.ErrExist):
			remove(u.dir, name, u.now(), 2*time.Second, time.Minute)
		default:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-give.C:
			return nil, fmt.Errorf("another writer has held %s for %v: %w", name, lockWait, sdk.ErrUnavailable)
		case <-time.After(time.Millisecond + rand.N(20*time.Millisecond)): //nolint:gosec // jitter
		}
	}
}

// tryLock locks a file for as long as it is open, and reports whether it did. An
// error means that there are no locks here.
var tryLock = flock

// lockName is short, however long the object's name is.
func lockName(base string) string {
	sum := sha256.Sum256([]byte(base))
	return hidden + "lock-" + hex.EncodeToString(sum[:16])
}

// mine locks a file that was just made, and reports whether it is still there.
// Somebody who tries whether its writer lives has it locked for a moment. Where
// there are no locks, nobody takes it for dead for lack of one.
func mine(dir *os.Root, name string, f *os.File) bool {
	for {
		locked, err := tryLock(f)
		if there := isAt(dir, name, f); !there || locked || err != nil {
			return there
		}
		<-time.After(time.Millisecond)
	}
}

func isAt(dir *os.Root, name string, f *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := dir.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

// remove removes a hidden file if its writer is dead. A writer of this machine
// is dead if nobody has the file locked, and it has not been written to for
// idle: some mounts of one share do not see each other's locks. Any other
// writer is dead if it has not been written to for long.
func remove(dir *os.Root, name string, now time.Time, idle, long time.Duration) {
	f, err := dir.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return
	}
	age := now.Sub(fi.ModTime())
	if age < idle || age < long && !ofThisBoot(name, f) {
		return
	}
	locked, err := tryLock(f)
	if err == nil && !locked || err != nil && age < long {
		return
	}
	if isAt(dir, name, f) {
		_ = dir.Remove(name)
	}
}

// ofThisBoot reports whether a file was made by this machine since it started.
// Files being written say so in their names, locks in their content.
func ofThisBoot(name string, f *os.File) bool {
	boot := thisBoot()
	if boot == "" {
		return false
	}
	if strings.HasPrefix(name, tmpPrefix()) {
		return true
	}
	content, err := io.ReadAll(io.LimitReader(f, 64))
	return err == nil && string(content) == boot
}

// thisBoot identifies this run of this machine's kernel, or is empty.
var thisBoot = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(id) < 8 {
		return ""
	}
	return string(id[:8])
})
