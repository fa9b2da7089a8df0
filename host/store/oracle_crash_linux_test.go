package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// asKilled copies dir as kill -9 would leave it now: while the copy is made, this process
// stands still.
func asKilled(t testing.TB, dir, to string) {
	t.Helper()
	const script = `trap 'kill -CONT "$1"' EXIT
kill -STOP "$1" && cp -R --sparse=always "$2" "$3"`
	out, err := exec.Command("sh", "-c", script, "sh", strconv.Itoa(os.Getpid()), dir, to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy of %s: %v: %s", dir, err, out)
	}
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
	asKilled(w, w.opt.Dir, copied)
	old := w.opt.Dir
	w.close()
	w.must(os.RemoveAll(old))
	w.opt.Dir = copied
	w.open()
}
