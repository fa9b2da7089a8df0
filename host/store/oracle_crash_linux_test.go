package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// asKilled copies dir as kill -9 would leave it now: while the copy is made, this process
// stands still.
func asKilled(dir, to string) error {
	const script = `trap 'kill -CONT "$1"' EXIT
kill -STOP "$1" && cp -R --sparse=always "$2" "$3"`
	out, err := exec.Command("sh", "-c", script, "sh", strconv.Itoa(os.Getpid()), dir, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy of %s: %w: %s", dir, err, out)
	}
	return nil
}

// reopen closes the store and opens it again; or it goes on with what a crash would leave.
func (w *world) reopen(crash bool) {
	w.Helper()
	if !crash {
		w.tell("= closed and opened")
		w.close()
		w.open()
		return
	}
	w.tell("= killed")
	copied := filepath.Join(w.dir(), "db")
	w.must(asKilled(w.opt.Dir, copied))
	old := w.opt.Dir
	w.close()
	w.must(os.RemoveAll(old))
	w.opt.Dir = copied
	w.open()
}
