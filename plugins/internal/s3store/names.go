package s3store

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// hidden begins elements of the names of objects that are none: those that a
// probe writes.
const hidden = ".brock-"

// checkName refuses what can be no object here. The host has checked names too,
// but this is the last place before they become keys.
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

// key returns the key of an object, or of all that a prefix stands for.
func (s *Store) key(name string) string { return s.c.prefix + keyName(name) }

// keyName returns an object's name as its key has it. It is the same, except for
// what some stores cannot keep or show: a backslash, which MinIO takes for a
// slash, is "[]", and so "[" is "[["; a control character, for which lists in XML
// have no form, is a tab and a letter. That keeps the order of names, and a
// prefix a prefix.
func keyName(name string) string {
	if !strings.ContainsFunc(name, special) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ':
			b.WriteString("\t" + string(rune('@'+c)))
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

func special(r rune) bool { return r < ' ' || r == '[' || r == '\\' }

// objectName undoes keyName. What that never made is somebody else's key.
func objectName(key string) (name string, ok bool) {
	if !strings.ContainsFunc(key, special) {
		return key, true
	}
	b := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		c := key[i]
		if !special(rune(c)) {
			b = append(b, c)
			continue
		}
		i++
		switch {
		case i == len(key):
			return "", false
		case c == '[' && key[i] == '[':
			b = append(b, '[')
		case c == '[' && key[i] == ']':
			b = append(b, '\\')
		case c == '\t' && '@' < key[i] && key[i] < '@'+' ':
			b = append(b, key[i]-'@')
		default:
			return "", false
		}
	}
	return string(b), true
}
