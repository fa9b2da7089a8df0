package plugindir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestLogKeepsTheNewestLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := LogLines(dir, "x", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LogLines of nothing: %v, want ErrNotExist", err)
	}
	l := newLogFile(dir, "brock-destination-x")
	defer l.Close()
	for i := range 10 {
		fmt.Fprintln(l, "line", i)
	}
	got, err := LogLines(dir, "x", 2)
	if err != nil || len(got) != 2 || !strings.HasSuffix(got[0], " line 8") || !strings.HasSuffix(got[1], " line 9") {
		t.Errorf("LogLines = %q, %v; want lines 8 and 9", got, err)
	}
	if all, err := LogLines(dir, "brock-destination-x", 100); err != nil || len(all) != 10 {
		t.Errorf("by the program's name there are %d lines, %v; want 10", len(all), err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, logPath(dir, "brock-destination-x"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

// Several processes write to one log: no line is torn, and what is kept is
// bounded.
func TestLogsOfManyProcesses(t *testing.T) {
	dir := t.TempDir()
	const writers, lines = 8, 400
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			l := newLogFile(dir, "brock-keyprovider-x")
			defer l.Close()
			for i := range lines {
				fmt.Fprintf(l, "%d/%d %s end\n", w, i, strings.Repeat("x", 1000))
			}
		})
	}
	wg.Wait()
	whole := regexp.MustCompile(`^\S+ \[\d+\] \d/\d+ x{1000} end$`)
	got, err := LogLines(dir, "x", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range got {
		if !whole.MatchString(line) {
			t.Fatalf("a torn line: %.200q", line)
		}
	}
	if len(got) < logLimit/1100 {
		t.Errorf("%d lines are left, want at least those of one log", len(got))
	}
	for _, path := range []string{logPath(dir, "brock-keyprovider-x"), oldLog(logPath(dir, "brock-keyprovider-x"))} {
		if info, err := os.Stat(path); err != nil || info.Size() > logLimit+writers*1100 {
			t.Errorf("%s: %v bytes, %v; want at most about %d", path, info.Size(), err, logLimit)
		}
	}
}

// Where no log can be kept, nobody notices.
func TestNoLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLogFile(file, "brock-destination-x")
	for range 2 {
		if n, err := l.Write([]byte("lost\n")); n != 5 || err != nil {
			t.Errorf("Write = %d, %v; want 5 and no error", n, err)
		}
	}
	t.Setenv("XDG_STATE_HOME", "relative")
	t.Setenv("HOME", "")
	if dir := LogDir(); runtime.GOOS != "windows" && dir != "" {
		t.Errorf("LogDir without a home = %q", dir)
	}
	if l := newLogFile("", "brock-destination-x"); l != nil {
		t.Error("there is a log without a directory")
	}
}
