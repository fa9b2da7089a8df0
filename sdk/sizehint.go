package sdk

import (
	"bytes"
	"io"
	"os"
	"strings"
)

// SizeHint returns how many bytes r is going to yield, where that is known. A
// Destination may ask it about the reader that Put is given, to choose between
// one request and many or to divide an object into parts. It is no promise: an
// object may turn out shorter or longer.
//
// The host knows the size of a reader that has a method of the same name, of
// the readers of packages bytes and strings, and of regular files.
func SizeHint(r io.Reader) (size int64, ok bool) {
	switch r := r.(type) {
	case interface{ SizeHint() (int64, bool) }:
		return r.SizeHint()
	case *bytes.Reader:
		return int64(r.Len()), true
	case *bytes.Buffer:
		return int64(r.Len()), true
	case *strings.Reader:
		return int64(r.Len()), true
	case *os.File:
		return rest(r)
	}
	return 0, false
}

// rest is how much of a file lies behind its present offset.
func rest(f *os.File) (int64, bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	offset, err := f.Seek(0, io.SeekCurrent)
	return max(0, info.Size()-offset), err == nil
}
