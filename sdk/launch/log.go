package launch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	lineLimit = 32 << 10 // of a line, the rest is dropped
	tailLimit = 64       // lines kept for the error that follows
	rateLimit = 500      // lines per second that reach the host's log
	holdLimit = 1000     // lines kept back while a key is on its way
)

// A log takes what a plugin writes, line by line. Neither the length nor the
// number nor the shape of the lines can harm the host, and no line leaves it
// with a secret.
type log struct {
	logger hclog.Logger
	level  hclog.Level // of the lines that reach logger
	copy   io.Writer

	mu      sync.Mutex
	secrets redactor
	holds   int    // calls that will bring a secret
	held    []line // until then
	tail    []string
	second  time.Time // that lines are counted in
	lines   int
}

func newLog(path string, o *Options) *log {
	return &log{logger: o.Logger.Named(filepath.Base(path)), level: o.LogLevel, copy: o.Stderr}
}

// A line is what a plugin wrote, but for what did not fit.
type line struct {
	text    string
	dropped int
}

// read takes lines until there are no more.
func (l *log) read(r *bufio.Reader) {
	for {
		line, dropped, err := readLine(r)
		if err != nil {
			return
		}
		l.add(string(line), dropped)
	}
}

// readLine returns the next line, without its end, and how many bytes of it did
// not fit. A line without an end counts if it has any bytes.
func readLine(r *bufio.Reader) (line []byte, dropped int, err error) {
	part, err := r.ReadSlice('\n')
	line = append(line, part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.ReadSlice('\n')
		dropped += len(part)
	}
	if err != nil && len(line) > 0 {
		err = nil
	}
	return []byte(strings.TrimRight(string(line), "\r\n")), dropped, err
}

func (l *log) add(text string, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds > 0 && len(l.held) < holdLimit {
		l.held = append(l.held, line{text, dropped})
		return
	}
	l.release() // in order, if there are too many
	l.show(text, dropped)
}

// hold keeps lines back until the function it returns is called: the plugin may
// write what the host will only then know to be a secret.
func (l *log) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.holds--; l.holds == 0 {
			l.release()
		}
	})
}

// flush shows what was kept back: no call will bring a secret any more.
func (l *log) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
}

// release is called with mu held.
func (l *log) release() {
	held := l.held
	l.held = nil
	for _, h := range held {
		l.show(h.text, h.dropped)
	}
}

// show is called with mu held.
func (l *log) show(line string, dropped int) {
	if dropped > 0 { // the cut may go through a secret
		line = l.secrets.cut(line)
		line += fmt.Sprintf(" [%d bytes dropped]", dropped)
	} else {
		line = l.secrets.hide(line)
	}
	l.tail = append(l.tail, line)
	if len(l.tail) > tailLimit {
		l.tail = l.tail[1:]
	}
	if l.copy != nil {
		_, _ = fmt.Fprintln(l.copy, line)
	}
	if !l.admit() {
		return
	}
	level, text, args := parse(line)
	if level < l.level {
		return
	}
	for i := range args { // what was written in escapes that the redactor does not know
		args[i] = l.plain(args[i])
	}
	l.logger.Log(level, l.secrets.hide(text), args...)
}

// plain returns a value of a line's JSON without secrets.
func (l *log) plain(v any) any {
	switch v := v.(type) {
	case string:
		return l.secrets.hide(v)
	case map[string]any:
		safe := map[string]any{}
		for k, e := range v {
			safe[l.secrets.hide(k)] = l.plain(e)
		}
		return safe
	case []any:
		for i := range v {
			v[i] = l.plain(v[i])
		}
	}
	return v
}

// admit counts the lines of a second, and says how many it left out.
func (l *log) admit() bool {
	if now := time.Now(); now.Sub(l.second) >= time.Second {
		if n := l.lines - rateLimit; n > 0 {
			l.logger.Warn("the plugin wrote too many lines", "dropped", n)
		}
		l.second, l.lines = now, 0
	}
	l.lines++
	return l.lines <= rateLimit
}

// last returns the newest lines.
func (l *log) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.tail...)
}

// hide makes sure that no later line, and no text, shows a value.
func (l *log) hide(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets.add(value)
}

// hideKey makes sure of it for a key, for a while.
func (l *log) hideKey(key []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets.addKey(key)
}

// reveal undoes hide, for what has turned out to be no secret.
func (l *log) reveal(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets.remove(value)
}

// safe returns text without secrets.
func (l *log) safe(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.secrets.hide(text)
}

// writer takes pieces of lines, as go-plugin delivers what a plugin in another
// language prints.
func (l *log) writer() io.Writer { return &lineWriter{log: l} }

type lineWriter struct {
	log     *log
	buf     []byte
	dropped int
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n':
			w.log.add(string(w.buf), w.dropped)
			w.buf, w.dropped = w.buf[:0], 0
		case len(w.buf) == lineLimit:
			w.dropped++
		default:
			w.buf = append(w.buf, b)
		}
	}
	return len(p), nil
}
