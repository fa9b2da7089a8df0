//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// However a restore ends, its target is the whole database or is not there, and
// the next restore is not in the way of what was left.
func TestKilledRestore(t *testing.T) {
	v := newVictim(t)
	v.brock("backup", "-p", v.data[0], "-l", v.location)
	target := filepath.Join(v.scratch, "restored")
	args := []string{"restore", "-l", v.location, "-p", target}
	begun := time.Now()
	v.brock(args...)
	whole := time.Since(begun)
	rounds, complete := killRounds(t, 40), 0
	for round := range rounds {
		if err := os.RemoveAll(target); err != nil {
			t.Fatal(err)
		}
		r := v.start(args...)
		if v.until(r, whole, v.scratch, 20) {
			_ = r.cmd.Process.Kill() // it may have ended
		}
		code := r.wait(t, 30*time.Second)
		if _, err := os.Stat(target); err != nil {
			if code == 0 {
				t.Fatalf("round %d: the restore succeeded and there is nothing\n%s", round, &r.out)
			}
			continue
		}
		complete++
		if got := v.brock("export", "-p", target, "--sort"); got != v.want[0] {
			t.Fatalf("round %d: the target is not the database\n%s", round, &r.out)
		}
	}
	t.Logf("%d of %d restores were complete", complete, rounds)
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
	v.brock(args...)
	if got := v.brock("export", "-p", target, "--sort"); got != v.want[0] {
		t.Error("after all this, a restore is not the database")
	}
}
