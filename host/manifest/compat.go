package manifest

import (
	"fmt"
	"io/fs"

	"github.com/brock-backup/brock/host/dgraph"
)

// A Compat is the generation of Dgraph that a backup is written for. Later ones can
// read it too.
type Compat string

// The generations whose backups differ.
const (
	CompatV23 Compat = "v23" // 23.0 to 25: master manifest, version 2105, Snappy
	CompatV21 Compat = "v21" // 21.03 and 22.0: master manifest, version 2103, Snappy
	CompatV20 Compat = "v20" // 20.03 to 20.11: a manifest per backup, gzip, no namespaces
)

// ParseCompat reads what a user wrote; nothing means v23.
func ParseCompat(s string) (Compat, error) {
	switch c := Compat(s); c {
	case "":
		return CompatV23, nil
	case CompatV23, CompatV21, CompatV20:
		return c, nil
	}
	return "", fmt.Errorf("compat %s is not known, only %s, %s and %s: %w", quote(s), CompatV23, CompatV21, CompatV20, fs.ErrInvalid)
}

// Form says how names are written.
func (c Compat) Form() dgraph.Form {
	switch c {
	case CompatV20:
		return dgraph.FormV20
	case CompatV21:
		return dgraph.FormV21
	}
	return dgraph.FormV23
}

// DefaultCompression names the codec that every Dgraph of the generation reads.
func (c Compat) DefaultCompression() string {
	if c == CompatV20 {
		return "gzip"
	}
	return "snappy"
}

// Master reports whether the generation looks for backups in a master manifest, and
// not for one manifest per backup.
func (c Compat) Master() bool { return c != CompatV20 }

// ListEncoding says how a backup's posting lists hold uids. Before 20.11 only one way was known.
func (c Compat) ListEncoding() dgraph.ListEncoding {
	if c == CompatV20 {
		return dgraph.UIDs
	}
	return dgraph.UIDBytes
}
