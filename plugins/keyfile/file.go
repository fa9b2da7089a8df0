package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/brock-backup/brock/sdk"
)

// readKey returns the content of a key file. It takes nothing away: a key is
// what the file holds, as for Dgraph.
func readKey(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, kind(path, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: %w: %s is no regular file", path, sdk.ErrInvalid, what(fi.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, kind(path, err)
	}
	defer f.Close()
	buf := make([]byte, 1<<10)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, kind(path, err)
	}
	key := bytes.Clone(buf[:n])
	clear(buf)
	if err := checkLength(path, key, max(fi.Size(), int64(n))); err != nil {
		clear(key)
		return nil, err
	}
	warnOthers(path, fi.Mode())
	return key, nil
}

func what(m fs.FileMode) string {
	if m.IsDir() {
		return "a directory"
	}
	return "a " + m.Type().String()
}

// kind adds the SDK's kind where the operating system's error lacks one.
func kind(path string, err error) error {
	err = fmt.Errorf("key file %s: %w", path, cause(err))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sdk.WithHint(err, "check the setting path; a new key is made with: head -c 32 /dev/urandom > "+path)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP):
		return fmt.Errorf("%w: %w", err, sdk.ErrInvalid)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		return fmt.Errorf("%w: %w", err, sdk.ErrUnavailable)
	}
	return err
}

// cause leaves out the path, which the message has already.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func fits(n int64) bool { return n == 16 || n == 24 || n == 32 }

// checkLength explains the length of a key file in the words of its likely
// cause. It shows nothing of the content.
func checkLength(path string, key []byte, size int64) error {
	if fits(size) {
		return nil
	}
	err := fmt.Errorf("key file %s has %s, want 16, 24 or 32: %w", path, count(size, "byte"), sdk.ErrInvalid)
	text := bytes.TrimRight(key, "\r\n")
	switch end := int64(len(key) - len(text)); {
	case size > int64(len(key)):
		return err
	case end > 0 && fits(size-end):
		return sdk.WithHint(
			fmt.Errorf("key file %s has %s, the last %d of them a newline, want 16, 24 or 32: %w", path, count(size, "byte"), end, sdk.ErrInvalid),
			fmt.Sprintf("an editor or echo has added a newline; without it: head -c %d %s > NEWFILE", len(text), path))
	case fits(int64(len(text)/2)) && len(text)%2 == 0 && strings.Trim(string(text), "0123456789abcdefABCDEF") == "":
		return sdk.WithHint(err, fmt.Sprintf("it looks like hexadecimal; the bytes themselves: xxd -r -p %s > NEWFILE", path))
	}
	return err
}

func count(n int64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// warnOthers tells the host, in the form that its log understands, that the key
// is not this user's alone.
func warnOthers(path string, m fs.FileMode) {
	if m.Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return
	}
	sdk.Logger().Warn("the key file can be read or changed by other users, make it 0600", "path", path, "mode", fmt.Sprintf("%04o", m.Perm()))
}
