package dgraph

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Predicate is the name of a predicate, or of a type, in its namespace.
type Predicate struct {
	Namespace uint64 // 0 where there are no namespaces
	Name      string
}

// String writes p as Dgraph 23 does: namespace in hex, '-', name.
func (p Predicate) String() string {
	return strconv.FormatUint(p.Namespace, 16) + "-" + p.Name
}

// Reserved reports whether p is one of Dgraph's own.
func (p Predicate) Reserved() bool {
	return strings.HasPrefix(p.Name, "dgraph.")
}

// ErrName means what cannot be the name of a predicate or a type.
var ErrName = errors.New("invalid name")

// LongestName is how many bytes a name can have: keys have room for some more.
const LongestName = math.MaxUint16 - 8

// CheckName returns ErrName if name cannot be that of a predicate or a type.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > LongestName:
		return fmt.Errorf("%w %q: it has %d bytes, and %d are allowed", ErrName, shorten(name), len(name), LongestName)
	case strings.ContainsFunc(name, isIllegal):
		return fmt.Errorf("%w %q: blanks and any of <>\"{}|^`\\ cannot be part of one", ErrName, shorten(name))
	}
	return nil
}

// isIllegal reports whether r can be in no IRI.
func isIllegal(r rune) bool {
	return r <= ' ' || r == 0x7f || r == utf8.RuneError || unicode.IsSpace(r) || strings.ContainsRune("<>\"{}|^`\\", r)
}
