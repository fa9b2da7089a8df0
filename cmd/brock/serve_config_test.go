package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A schedule may name a time zone on a machine that has no files of them, as many containers.
func TestTimeZonesAreBuiltIn(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "\ntime/tzdata\n") {
		t.Error("brock is built without time/tzdata")
	}
}
