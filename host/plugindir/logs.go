package plugindir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// LogDir returns the directory in which the logs of plugins are kept for this
// user, and none where there is no place for them: without a home, or in one that
// is somebody else's, as it may be under sudo.
func LogDir() string {
	base := os.Getenv("XDG_STATE_HOME")
	state := base
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil || home == "" {
			return ""
		}
		base, state = home, filepath.Join(home, ".local", "state")
	}
	if info, err := os.Stat(base); err == nil && !owned(info) { //nolint:gosec // the user's own directory
		return ""
	}
	return filepath.Join(state, "brock", "plugins")
}

// A log never grows beyond this. Then it becomes the old one, and the old one
// before it is gone.
const logLimit = 1 << 20

// A logFile keeps what a plugin writes to standard error, below a directory of
// the user's, for "brock plugin logs". Several processes may write to one: every
// line is one write at the file's end. A log that cannot be kept is not kept:
// that is no reason for anything else to fail.
type logFile struct {
	path string

	mu     sync.Mutex
	file   *os.File
	broken bool
}

// newLogFile is nil without a directory.
func newLogFile(dir, program string) *logFile {
	if dir == "" {
		return nil
	}
	return &logFile{path: logPath(dir, program)}
}

func logPath(dir, program string) string { return filepath.Join(dir, program+".log") }

// Write takes whole lines.
func (l *logFile) Write(lines []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return len(lines), nil
	}
	stamp := fmt.Sprintf("%s [%d] ", time.Now().UTC().Format(time.RFC3339), os.Getpid())
	for line := range bytes.Lines(lines) {
		if err := l.write(append([]byte(stamp), bytes.TrimRight(line, "\n")...)); err != nil {
			l.broken = true
			l.close()
			break
		}
	}
	return len(lines), nil
}

func (l *logFile) write(line []byte) error {
	line = append(line, '\n')
	if l.file == nil || !hasRoom(l.file, len(line)) {
		if err := l.reopen(len(line)); err != nil {
			return err
		}
	}
	_, err := l.file.Write(line)
	return err
}

// hasRoom asks the file: other processes write to it, too. An empty one has room
// for everything.
func hasRoom(f *os.File, more int) bool {
	info, err := f.Stat()
	return err != nil || info.Size() == 0 || info.Size()+int64(more) <= logLimit
}

// reopen opens the log, and begins a new one if there is no room for so many
// bytes more. Another process may just have done that.
func (l *logFile) reopen(more int) error {
	l.close()
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	for {
		f, err := openLog(l.path)
		if err != nil {
			return err
		}
		if hasRoom(f, more) {
			l.file = f
			return nil
		}
		err = l.rotate(f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
}

// rotate makes a full log the old one, unless another process was faster: it
// must not take the new log for the full one, and so they take turns.
func (l *logFile) rotate(full *os.File) error {
	lockLog(full) // until it is closed
	was, err := full.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(was, now) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(l.path, oldLog(l.path))
}

// openLog opens a file of ours, and no link to one.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|openFlags|noLink, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !mine(info) {
		return nil, errors.Join(fmt.Errorf("%s: not a file of ours", path), f.Close())
	}
	return f, nil
}

func oldLog(path string) string { return path + ".old" }

func (l *logFile) close() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// Close ends the log. A line that is written later opens it again.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	return nil
}

// LogLines returns the last n lines that the plugins of that name, or of that
// file name, have written to standard error, oldest first. Of no plugin of that
// name it returns an error that is [fs.ErrNotExist].
func LogLines(dir, name string, n int) ([]string, error) {
	var lines []string
	found := false
	for _, program := range programs(name) {
		path := logPath(dir, program)
		for _, p := range []string{oldLog(path), path} {
			data, err := readLog(p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			found = true
			lines = append(lines, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
		}
	}
	if !found {
		return nil, fmt.Errorf("no log of a plugin called %s: %w", name, fs.ErrNotExist)
	}
	return lines[max(0, len(lines)-max(n, 0)):], nil
}

func readLog(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return io.ReadAll(f)
}

// programs are the file names that a plugin of that name may have.
func programs(name string) []string {
	name = strings.TrimSuffix(filepath.Base(name), ".exe")
	if _, ok := kindOf(name); ok {
		return []string{name}
	}
	return []string{prefixes["destination"] + name, prefixes["keyprovider"] + name}
}
