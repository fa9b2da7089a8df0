package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/dgraph-io/badger/v3"
	"golang.org/x/sys/unix"
)

// unprivileged runs a command without root's right to read every file, so that
// permissions mean something to tests that run as root.
func unprivileged() {
	for _, right := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0); err != nil && os.Geteuid() == 0 {
			fail(err)
		}
	}
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = unix.Exec(path, os.Args[1:], os.Environ())
	}
	fail(err)
}

// crashDatabase writes to the Badger database in a directory and is killed
// before it can close it.
func crashDatabase() {
	db, err := badger.Open(badger.DefaultOptions(os.Args[1]).WithLogger(nil))
	if err != nil {
		fail(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		for i := range 100 {
			if err := txn.Set(fmt.Appendf(nil, "key%03d", i), []byte("value")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fail(err)
	}
	fail(unix.Kill(os.Getpid(), unix.SIGKILL))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
