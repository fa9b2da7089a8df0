package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// No command takes more than 512 MiB for the large set, in either direction,
// chains and the proof included.
func TestMemory(t *testing.T) {
	shared := os.Getenv("BROCK_FIXTURES")
	if shared == "" {
		shared = "../../../shared/fixtures"
	}
	large, err := filepath.Abs(filepath.Join(shared, "v25-large"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(large); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: CI needs the shared fixtures, in BROCK_FIXTURES", err)
		}
		t.Skipf("left out: %v (BROCK_FIXTURES says where the shared fixtures are)", err)
	}
	plugins := buildPlugins(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("key", make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"restore", "-l", large, "-p", "first", "--backup_num", "1", "--keep-versions"},
		{"restore", "-l", large, "-p", "second", "--keep-versions"},
		{"backup", "-p", "first", "-l", "backups", "--encryption_key_file", "key"},
		{"backup", "-p", "second", "-l", "backups", "--encryption_key_file", "key", "--prove"},
		{"restore", "-l", "backups", "-p", "third", "--encryption_key_file", "key"},
		{"verify", "-l", "backups", "--restore", "--encryption_key_file", "key"},
		{"export", "-l", "backups", "-o", "text", "--sort", "--encryption_key_file", "key"},
	} {
		cmd := exec.CommandContext(t.Context(), "brock", args...)
		cmd.Env = append(os.Environ(), "BROCK_PLUGIN_DIR="+plugins)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("brock %v: %v\n%s", args, err, out)
		}
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
		t.Logf("%4d MiB: brock %v", peak, args[0])
		if peak > 512 {
			t.Errorf("brock %v took %d MiB", args, peak)
		}
	}
}
