package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serverEnv returns what make servers says of a server: see the package
// plugins/internal/servers, whose tests have the same rule. Without it the test is
// left out, and with CI=true it fails.
func serverEnv(t testing.TB, name string) map[string]string {
	t.Helper()
	dir := os.Getenv("BROCK_SERVERS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "brock-servers")
	}
	f, err := os.Open(filepath.Join(dir, name+".env"))
	if err != nil {
		leaveOut(t, name)
	}
	defer f.Close()
	env := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			env[key] = strings.Trim(value, "'")
		}
	}
	if pid := env["PID"]; pid != "" {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			leaveOut(t, name)
		}
	}
	return env
}

func leaveOut(t testing.TB, server string) {
	t.Helper()
	text := "NEEDS SERVER " + server + ": run make servers"
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	if list := os.Getenv("BROCK_TESTS_LEFT_OUT"); list != "" {
		f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("cmd/brock: NEEDS SERVER " + server + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	t.Skip(text)
}

// mcPath returns MinIO's own client, which make servers installs beside the
// server.
func mcPath(t testing.TB) string {
	t.Helper()
	server := serverEnv(t, "minio")["BINARY"]
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(server)), "mc-*", "mc"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no mc beside %s: run make servers", server)
	}
	return found[len(found)-1]
}
