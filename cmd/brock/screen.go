package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/brock-backup/brock/cmd/brock/internal/argv"
	"github.com/brock-backup/brock/host"
)

// A screen is standard error: lines of text and, on a terminal, one progress
// line below them that is redrawn in place. Elsewhere progress is a plain line
// now and then, and with json an event.
type screen struct {
	json bool

	mu       sync.Mutex
	w        io.Writer
	terminal func() (width int, ok bool)
	drawn    bool
	op       string
	begun    time.Time
	said     time.Time // when the last plain line was written
}

// Plain progress lines are this far apart.
const plainInterval = 10 * time.Second

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, terminal: func() (int, bool) { return 0, false }}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.terminal = func() (int, bool) {
			width, _, err := term.GetSize(int(f.Fd()))
			return width, err == nil
		}
	}
	return s
}

// Write writes whole lines above the progress line, without what a terminal would
// obey, and without the secrets of the command line. With json, what is logged
// becomes an event like all others.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	text := p
	if line, ok := logEvent(p); s.json && ok {
		text = line
	}
	_, err := io.WriteString(s.w, harmless(argv.Hide(string(text))))
	return len(p), err
}

// logEvent turns an entry of the log, {"@level":"warn","@message":...}, into an event,
// {"event":"log","level":"warn","message":...}. What else it holds stays.
func logEvent(entry []byte) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(entry))
	d.UseNumber()
	var fields map[string]any
	if d.Decode(&fields) != nil || fields["@level"] == nil {
		return nil, false
	}
	event := map[string]any{}
	for name, value := range fields {
		event[strings.TrimPrefix(name, "@")] = value
	}
	event["event"] = "log"
	return jsonLine(event), true
}

func jsonLine(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // of strings and numbers: it cannot fail
	return b.Bytes()
}

// warn says what the user has to do although the command has worked.
func (s *screen) warn(text, hint string) {
	if s.json {
		_, _ = s.Write(jsonLine(map[string]any{"event": "log", "level": "warn", "message": text, "hint": hint}))
		return
	}
	fmt.Fprintf(s, "warning: %s\nhint: %s\n", text, hint)
}

// clear takes the progress line away.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *screen) erase() {
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.drawn = false
	}
}

// progress shows how far the engine is.
func (s *screen) progress(p host.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if p.Op != s.op {
		s.op, s.begun, s.said = p.Op, now, now
	}
	width, terminal := s.terminal()
	switch {
	case s.json:
		s.event(p)
	case terminal && p.Done:
		s.erase()
	case terminal:
		s.erase()
		fmt.Fprint(s.w, barLine(p, now.Sub(s.begun), width))
		s.drawn = true
	case !p.Done && now.Sub(s.said) >= plainInterval:
		s.said = now
		fmt.Fprintln(s.w, plainLine(p, now.Sub(s.begun)))
	}
}

// status shows on a terminal what is going on, where no progress is counted.
func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	width, terminal := s.terminal()
	if s.json || !terminal {
		return
	}
	s.erase()
	if text = harmless(text); width > 1 && len(text) >= width {
		text = text[:width-1]
	}
	fmt.Fprint(s.w, text)
	s.drawn = true
}

func (s *screen) event(p host.Progress) {
	line, _ := json.Marshal(struct {
		Event      string `json:"event"`
		Op         string `json:"op"`
		Group      uint32 `json:"group,omitempty"`
		Bytes      int64  `json:"bytes"`
		TotalBytes int64  `json:"total_bytes,omitempty"`
		Entries    int64  `json:"entries"`
		Done       bool   `json:"done"`
	}{"progress", p.Op, p.Group, p.Bytes, p.TotalBytes, p.Entries, p.Done})
	fmt.Fprintf(s.w, "%s\n", line)
}

// barLine is one terminal line, never wider than the terminal.
func barLine(p host.Progress, elapsed time.Duration, width int) string {
	text := plainLine(p, elapsed)
	if fraction, ok := fraction(p); ok {
		if room := min(width-len(text)-5, 40); room >= 8 {
			full := int(fraction * float64(room))
			text += "  [" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
		}
	}
	if width > 1 && len(text) >= width {
		text = text[:width-1]
	}
	return text
}

// plainLine says what is known: part done, bytes, entries, rate, time to go.
func plainLine(p host.Progress, elapsed time.Duration) string {
	var b strings.Builder
	b.WriteString(p.Op)
	if p.Group != 0 {
		fmt.Fprintf(&b, " group %d", p.Group)
	}
	fraction, known := fraction(p)
	if known {
		fmt.Fprintf(&b, "  %3.0f%%", fraction*100)
	}
	fmt.Fprintf(&b, "  %s  %s entries", size(p.Bytes), humanize.Comma(p.Entries))
	if seconds := elapsed.Seconds(); seconds >= 0.5 {
		fmt.Fprintf(&b, "  %s/s", size(int64(float64(p.Bytes)/seconds)))
	}
	if known && fraction > 0.01 && fraction < 1 && elapsed >= time.Second {
		left := time.Duration(float64(elapsed) * (1 - fraction) / fraction)
		fmt.Fprintf(&b, "  ETA %s", left.Round(time.Second))
	}
	return b.String()
}

func fraction(p host.Progress) (float64, bool) {
	if p.TotalBytes <= 0 {
		return 0, false
	}
	return min(float64(p.Bytes)/float64(p.TotalBytes), 1), true
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
