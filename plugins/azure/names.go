package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// hidden begins the names of blobs that are no objects: what Probe writes.
const hidden = ".brock-"

func checkName(name string) error {
	if !valid(name) {
		return fmt.Errorf("object name %q: %w", name, sdk.ErrInvalid)
	}
	return nil
}

func valid(name string) bool {
	clean := fs.ValidPath(name) && name != "." && !strings.ContainsRune(name, 0)
	return clean && !slices.ContainsFunc(strings.Split(name, "/"), isHidden)
}

func isHidden(elem string) bool { return strings.HasPrefix(elem, hidden) }

// blobName returns the name that an object's blob has below the location. It is
// the same, except for what Azure makes something else of: a backslash, which
// would become a slash, is "[]", and so "[" is "[["; a control character, which
// no list can show, is a tab and a letter, as in "^A". That keeps the order of
// names, and a prefix a prefix.
func blobName(name string) string {
	if !strings.ContainsFunc(name, isSpecial) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ':
			b.WriteByte('\t')
			b.WriteByte('@' + c)
		case c == '[':
			b.WriteString("[[")
		case c == '\\':
			b.WriteString("[]")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isSpecial(r rune) bool { return r < ' ' || r == '[' || r == '\\' }

// objectName undoes blobName. What that never made is somebody else's blob.
func objectName(blob string) (name string, ok bool) {
	if !strings.ContainsFunc(blob, isSpecial) {
		return blob, true
	}
	var b strings.Builder
	for rest := blob; rest != ""; {
		c, next := rest[0], byte(0)
		if len(rest) > 1 {
			next = rest[1]
		}
		switch {
		case !isSpecial(rune(c)):
			b.WriteByte(c)
			rest = rest[1:]
			continue
		case c == '[' && next == '[':
			b.WriteByte('[')
		case c == '[' && next == ']':
			b.WriteByte('\\')
		case c == '\t' && '@' < next && next < '@'+' ':
			b.WriteByte(next - '@')
		default:
			return "", false
		}
		rest = rest[2:]
	}
	return b.String(), true
}
