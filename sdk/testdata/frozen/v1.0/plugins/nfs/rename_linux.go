package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace renames within a directory, unless the new name is taken.
func renameNoReplace(dir *os.Root, from, to string) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
}
