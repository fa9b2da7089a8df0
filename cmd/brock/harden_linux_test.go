package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const hardenEnv = "BROCK_TEST_HARDEN"

// tellHardened is a process that says how much of it can be dumped.
func tellHardened() {
	harden()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		panic(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(limit.Cur, limit.Max, dumpable)
}

func TestKeysAreNotDumped(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hardenEnv+"=1")
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "0 0 0" {
		t.Errorf("core limits and dumpable: %q, %v; want all 0", got, err)
	}
}
