package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host"
)

func TestProgressLines(t *testing.T) {
	half := host.Progress{Op: "restore", Group: 2, Bytes: 50 << 20, TotalBytes: 100 << 20, Entries: 12345}
	if got, want := plainLine(half, 10*time.Second), "restore group 2   50%  50 MiB  12,345 entries  5.0 MiB/s  ETA 10s"; got != want {
		t.Errorf("plainLine = %q, want %q", got, want)
	}
	unknown := host.Progress{Op: "backup", Bytes: 1 << 20, Entries: 7}
	if got, want := plainLine(unknown, 0), "backup  1.0 MiB  7 entries"; got != want {
		t.Errorf("plainLine = %q, want %q", got, want)
	}
	for width := range 200 {
		got := barLine(half, 10*time.Second, width)
		if width > 1 && len(got) >= width {
			t.Errorf("barLine is %d wide on a terminal of %d", len(got), width)
		}
		if strings.Contains(got, "[") && !strings.HasSuffix(got, "]") {
			t.Errorf("on a terminal of %d the bar has no end: %q", width, got)
		}
	}
	got := barLine(half, 10*time.Second, 120)
	if full, empty := strings.Count(got, "="), strings.Count(got[strings.Index(got, "["):], " "); full != empty || full == 0 {
		t.Errorf("barLine = %q, want a bar that is half full", got)
	}
}

// On a terminal a message never runs into the progress line, and the line is
// gone when the command is.
func TestMessagesStandAboveTheProgressLine(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.terminal = func() (int, bool) { return 80, true }
	s.progress(host.Progress{Op: "backup", Bytes: 1})
	s.Write([]byte("a warning\n"))
	s.progress(host.Progress{Op: "backup", Bytes: 2})
	s.progress(host.Progress{Op: "backup", Bytes: 3, Done: true})
	s.clear()
	const want = "backup  1 B  0 entries\r\x1b[Ka warning\nbackup  2 B  0 entries\r\x1b[K"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// With --json, every line on standard error is an event.
func TestLogIsAnEvent(t *testing.T) {
	var b strings.Builder
	s := newScreen(&b)
	s.json = true
	log := hclog.New(&hclog.LoggerOptions{Output: s, JSONFormat: true, DisableTime: true})
	log.Warn("look <here>", "size", uint64(1<<63), "error", errors.New("broken"))
	s.warn("assign", "curl")
	fmt.Fprintln(s, "plain text")
	want := `{"error":"broken","event":"log","level":"warn","message":"look <here>","size":9223372036854775808}
{"event":"log","hint":"curl","level":"warn","message":"assign"}
plain text
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
