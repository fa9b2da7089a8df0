package dgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A Layout is how Badger keys are laid out.
type Layout uint8

// The two layouts. Which one a directory has: [DetectLayout].
const (
	LayoutV21 Layout = iota // 21.03 and later: with a namespace
	LayoutV20               // up to 20.11: without
)

// A KeyKind says what a key holds. Its number is that of pb.BackupKey.
type KeyKind uint8

// What a key can be about.
const (
	KeyData         KeyKind = 1 // values or edges of a predicate at a uid
	KeyIndex        KeyKind = 2 // uids that have a term
	KeyReverse      KeyKind = 3 // uids that have an edge to a uid
	KeyCount        KeyKind = 4 // uids that have so many edges
	KeyCountReverse KeyKind = 5 // uids that so many edges lead to
	KeySchema       KeyKind = 6 // schema of a predicate
	KeyType         KeyKind = 7 // a type; the Predicate is its name
)

// User meta of Badger items: what the value is.
const (
	MetaSchema   = 0x01 // a schema or type message
	MetaDelta    = 0x04 // postings with operations, to be applied to what is older
	MetaComplete = 0x08 // a whole list, or a part of one
	MetaEmpty    = 0x10 // a list that is empty; no value
)

// First bytes of Badger keys, and the bytes after the name.
const (
	prefixData   = 0x00
	prefixSchema = 0x01
	prefixType   = 0x02
	prefixPart   = 0x04

	byteData         = 0x00
	byteIndex        = 0x02
	byteReverse      = 0x04
	byteCount        = 0x08
	byteCountReverse = 0x0c
)

// ErrZeroUID means a data or reverse key of uid 0. Dgraph before 20.07 could write
// some by mistake; no query finds them. The key was read in full; skip it.
var ErrZeroUID = errors.New("key of uid 0")

// A Key says what an entry of the database is about.
type Key struct {
	Kind KeyKind
	Predicate
	UID      uint64 // of KeyData and KeyReverse
	Term     []byte // of KeyIndex: the tokenizer's byte and its token, not text in general
	Count    uint32 // of KeyCount and KeyCountReverse
	StartUID uint64 // not 0 in the key of a part of a long list
}

// AppendKey appends k as Badger's key in layout l.
func AppendKey(dst []byte, l Layout, k *Key) ([]byte, error) {
	if len(k.Name) > math.MaxUint16 {
		return dst, fmt.Errorf("%w: name of %d bytes, at most %d fit", ErrForm, len(k.Name), math.MaxUint16)
	}
	if k.Name == "" {
		return dst, fmt.Errorf("%w: key without a name", ErrForm)
	}
	if l == LayoutV20 && k.Namespace != 0 {
		return dst, fmt.Errorf("%w %s: %s is in namespace %#x, and Dgraph 20 has none", ErrForm, FormV20, k.Predicate, k.Namespace)
	}
	first := byte(prefixData)
	switch {
	case k.Kind == KeySchema:
		first = prefixSchema
	case k.Kind == KeyType:
		first = prefixType
	case k.StartUID != 0:
		first = prefixPart
	}
	dst = append(dst, first)
	if l == LayoutV21 {
		dst = binary.BigEndian.AppendUint64(dst, k.Namespace)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(k.Name)))
	dst = append(dst, k.Name...)
	switch k.Kind {
	case KeyData:
		dst = binary.BigEndian.AppendUint64(append(dst, byteData), k.UID)
	case KeyIndex:
		dst = append(append(dst, byteIndex), k.Term...)
	case KeyReverse:
		dst = binary.BigEndian.AppendUint64(append(dst, byteReverse), k.UID)
	case KeyCount:
		dst = binary.BigEndian.AppendUint32(append(dst, byteCount), k.Count)
	case KeyCountReverse:
		dst = binary.BigEndian.AppendUint32(append(dst, byteCountReverse), k.Count)
	case KeySchema, KeyType:
		return dst, nil
	default:
		return dst, fmt.Errorf("%w: key of kind %d", ErrForm, k.Kind)
	}
	if k.StartUID != 0 {
		dst = binary.BigEndian.AppendUint64(dst, k.StartUID)
	}
	return dst, nil
}

// ParseKey reads Badger's key b in layout l into k, whose Term then aliases b.
// A k used for key after key allocates only where the name changes.
func ParseKey(l Layout, b []byte, k *Key) error {
	k.Kind, k.Namespace, k.UID, k.Term, k.Count, k.StartUID = 0, 0, 0, nil, 0, 0
	head := 3
	if l == LayoutV21 {
		head = 11
	}
	if len(b) < head {
		return badKey(b)
	}
	if l == LayoutV21 {
		k.Namespace = binary.BigEndian.Uint64(b[1:])
	}
	n := int(binary.BigEndian.Uint16(b[head-2:]))
	if n == 0 || len(b)-head < n {
		return badKey(b)
	}
	k.setName(b[head : head+n])
	rest := b[head+n:]
	switch b[0] {
	case prefixSchema, prefixType:
		k.Kind = KeySchema
		if b[0] == prefixType {
			k.Kind = KeyType
		}
		if len(rest) != 0 {
			return badKey(b)
		}
		return nil
	case prefixPart:
		if len(rest) < 9 {
			return badKey(b)
		}
		k.StartUID = binary.BigEndian.Uint64(rest[len(rest)-8:])
		rest = rest[:len(rest)-8]
		if k.StartUID == 0 {
			return badKey(b)
		}
	case prefixData:
	default:
		return badKey(b)
	}
	if len(rest) == 0 {
		return badKey(b)
	}
	kind, rest := rest[0], rest[1:]
	switch kind {
	case byteIndex:
		k.Kind, k.Term = KeyIndex, slices.Clip(rest)
		return nil
	case byteData, byteReverse:
		k.Kind = KeyData
		if kind == byteReverse {
			k.Kind = KeyReverse
		}
		if len(rest) != 8 {
			return badKey(b)
		}
		k.UID = binary.BigEndian.Uint64(rest)
		if k.UID == 0 {
			return fmt.Errorf("%w: %x", ErrZeroUID, b)
		}
		return nil
	case byteCount, byteCountReverse:
		k.Kind = KeyCount
		if kind == byteCountReverse {
			k.Kind = KeyCountReverse
		}
		if len(rest) != 4 {
			return badKey(b)
		}
		k.Count = binary.BigEndian.Uint32(rest)
		return nil
	}
	return badKey(b)
}

func badKey(b []byte) error {
	if len(b) > 64 {
		return fmt.Errorf("%w: key %x... of %d bytes", ErrCorrupt, b[:64], len(b))
	}
	return fmt.Errorf("%w: key %x", ErrCorrupt, b)
}

// setName keeps the name that is there if it is the same: neighbours mostly share it.
func (k *Key) setName(b []byte) {
	if k.Name != string(b) {
		k.Name = string(b)
	}
}

// DetectLayout finds out how the keys of a directory are laid out from some of
// them, best those of the schema (first byte 01). Without any it is the newer layout.
// In the older one the bytes where a namespace would be are a length and text, so
// that even one key is enough to tell.
func DetectLayout(schemaKeys [][]byte) (Layout, error) {
	var k Key
	only := map[Layout][]byte{}
	for _, b := range schemaKeys {
		v21, v20 := fits(LayoutV21, b, &k), fits(LayoutV20, b, &k)
		switch {
		case !v21 && !v20:
			return 0, badKey(b)
		case !v20:
			only[LayoutV21] = b
		case !v21:
			only[LayoutV20] = b
		}
	}
	switch {
	case only[LayoutV21] != nil && only[LayoutV20] != nil:
		return 0, fmt.Errorf("%w: keys with and without a namespace in one directory: %x and %x", ErrCorrupt, only[LayoutV21], only[LayoutV20])
	case only[LayoutV20] != nil:
		return LayoutV20, nil
	}
	return LayoutV21, nil
}

func fits(l Layout, b []byte, k *Key) bool {
	err := ParseKey(l, b, k)
	return err == nil || errors.Is(err, ErrZeroUID)
}
