package servers

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// StateDir returns the directory of the running servers, which exists afterwards and is nobody else's. It is
// $BROCK_SERVERS, or brock-servers in the directory for temporary files.
func StateDir() (string, error) {
	dir := cmp.Or(os.Getenv("BROCK_SERVERS"), filepath.Join(os.TempDir(), "brock-servers"))
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() || !fi.IsDir() {
		return "", fmt.Errorf("%s is no directory of yours: name another in BROCK_SERVERS", dir)
	}
	return dir, os.Chmod(dir, 0o700)
}

// lock keeps other processes that start or stop servers out of dir, until unlock.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// vars are the lines of an env file.
type vars map[string]string

func envFile(dir, name string) string { return filepath.Join(dir, name+".env") }
func pidFile(dir, name string) string { return filepath.Join(dir, name+".pid") }
func logFile(dir, name string) string { return filepath.Join(dir, name+".log") }

// write makes v the contents of a file, at once, as KEY=value lines that a shell understands.
func (v vars) write(file string) error {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(v)) {
		fmt.Fprintf(&b, "%s=%s\n", k, quote(v[k]))
	}
	if err := os.WriteFile(file+".tmp", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]*$`)

func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func unquote(s string) string {
	if plain.MatchString(s) || len(s) < 2 {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `'\''`, "'")
}

// readVars reads what write wrote.
func readVars(file string) (vars, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v := vars{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, val, ok := strings.Cut(lines.Text(), "="); ok {
			v[k] = unquote(val)
		}
	}
	return v, nil
}
