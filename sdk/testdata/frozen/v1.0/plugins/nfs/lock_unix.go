//go:build unix

package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flockWait is how long a server may take to answer. One that has restarted
// gives no locks for a minute or so, and says nothing meanwhile.
const flockWait = 3 * time.Second

func flock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	answer := make(chan error, 1)
	go func() { // it may outlast f, and is given up then
		var err error
		if cerr := conn.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); cerr != nil {
			err = cerr
		}
		answer <- err
	}()
	select {
	case err = <-answer:
	case <-time.After(flockWait):
		err = unix.ETIMEDOUT
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
