package plugindir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A Digest is the SHA-256 of a file. The zero value is that of none.
type Digest [sha256.Size]byte

// String is the digest as sha256sum prints it.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a SHA-256 has %d hexadecimal digits, this has %d", hex.EncodedLen(len(d)), len(text))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("not a SHA-256: %w", err)
	}
	return nil
}

// ParseDigest reads a digest as sha256sum prints it. That of none is refused: who
// asks for it would get any file.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	if err == nil && d == (Digest{}) {
		err = errors.New("no file has a SHA-256 of zeros only")
	}
	return d, err
}

// An identity changes whenever a file does.
type identity struct {
	Path     string `json:"path"`
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds
	Changed  int64  `json:"changed"`  // nanoseconds
}

// settled reports whether a later change would show. A file system's clock may
// stand still for a moment, on some for two seconds.
func (id identity) settled() bool {
	last := max(id.Modified, id.Changed)
	return time.Since(time.Unix(0, last)) > 2*time.Second
}

func digestBytes(data []byte) Digest { return sha256.Sum256(data) }

// digestOf reads a file.
func digestOf(path string) (Digest, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return Digest{}, fmt.Errorf("%s: not a regular file", path)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Digest{}, err
	}
	return Digest(h.Sum(nil)), nil
}
