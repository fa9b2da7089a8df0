package dgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Form is how a version of Dgraph writes names into manifests, drop records
// and types. Its number is the manifest's version.
type Form int

// The forms there are.
const (
	FormV20 Form = 0    // up to 20.11: the bare name; there are no namespaces
	FormV21 Form = 2103 // 21.03 and 22.0: 8 bytes of namespace, big endian, then the name
	FormV23 Form = 2105 // 23.0 and later: the namespace in hex, '-', the name
)

// ErrCorrupt means that bytes are not what any Dgraph writes.
var ErrCorrupt = errors.New("corrupt entry")

// ErrForm means that a name cannot be written, or was damaged when it was
// written, in a form.
var ErrForm = errors.New("name does not fit the form")

// String names the form as Brock's --compat does.
func (f Form) String() string {
	switch f {
	case FormV20:
		return "v20"
	case FormV21:
		return "v21"
	case FormV23:
		return "v23"
	}
	return "version " + strconv.Itoa(int(f))
}

// ParsePredicate reads a name as a manifest in form f holds it.
//
// Form V21 puts raw bytes into JSON, which turns every byte of the namespace from
// 0x80 up into U+FFFD. Such a name is refused: which namespace it meant is lost.
func ParsePredicate(f Form, s string) (Predicate, error) {
	var p Predicate
	switch f {
	case FormV20:
		p.Name = s
	case FormV21:
		if len(s) < 8 {
			return p, fmt.Errorf("%w %s: %q is shorter than a namespace", ErrForm, f, s)
		}
		for i := range 8 {
			if s[i] >= 0x80 {
				return p, fmt.Errorf("%w %s: the namespace of %q was damaged by JSON", ErrForm, f, s)
			}
		}
		p = split8(s)
	case FormV23:
		var ok bool
		if p, ok = splitHex(s); !ok {
			return p, fmt.Errorf("%w %s: %q does not begin with a namespace and '-'", ErrForm, f, s)
		}
	default:
		return p, fmt.Errorf("%w: %s is not known", ErrForm, f)
	}
	if p.Name == "" {
		return p, fmt.Errorf("%w %s: %q has no name", ErrForm, f, s)
	}
	return p, nil
}

// Format writes p for a manifest in form f. It refuses a namespace that
// the form has no place for, and one that JSON would damage.
func (p Predicate) Format(f Form) (string, error) {
	if f == FormV21 {
		for ns := p.Namespace; ns != 0; ns >>= 8 {
			if ns&0x80 != 0 {
				return "", fmt.Errorf("%w %s: JSON would damage the namespace of %s", ErrForm, f, p)
			}
		}
	}
	b, err := p.append(nil, f)
	return string(b), err
}

// append writes p in form f as raw bytes, where no JSON can damage them.
func (p Predicate) append(dst []byte, f Form) ([]byte, error) {
	switch f {
	case FormV20:
		if p.Namespace != 0 {
			return dst, fmt.Errorf("%w %s: %s is in namespace %#x, and Dgraph 20 has none", ErrForm, f, p, p.Namespace)
		}
	case FormV21:
		dst = binary.BigEndian.AppendUint64(dst, p.Namespace)
	case FormV23:
		dst = append(strconv.AppendUint(dst, p.Namespace, 16), '-')
	default:
		return dst, fmt.Errorf("%w: %s is not known", ErrForm, f)
	}
	return append(dst, p.Name...), nil
}

// recognise reads a name as the database itself holds it, where a directory
// that has seen several versions of Dgraph mixes forms. What carries no
// namespace of its own lies in ns.
func recognise(f Form, s string, ns uint64) Predicate {
	bare := Predicate{Namespace: ns, Name: s}
	if f == FormV20 {
		return bare
	}
	if len(s) > 8 && s[0] == 0 {
		return split8(s)
	}
	if p, ok := splitHex(s); ok && p.Name != "" {
		return p
	}
	if f == FormV21 && len(s) > 8 && !printable(s[:8]) {
		return split8(s)
	}
	return bare
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0
}

func split8(s string) Predicate {
	var ns uint64
	for i := range 8 {
		ns = ns<<8 | uint64(s[i])
	}
	return Predicate{Namespace: ns, Name: s[8:]}
}

func splitHex(s string) (Predicate, bool) {
	hex, name, ok := strings.Cut(s, "-")
	if !ok {
		return Predicate{}, false
	}
	ns, err := strconv.ParseUint(hex, 16, 64)
	return Predicate{Namespace: ns, Name: name}, err == nil
}
