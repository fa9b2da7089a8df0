package host

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/brock-backup/brock/host/dgraph"
)

// A modelList is what a posting list means: of each uid its posting, "" for a
// plain edge.
type modelList map[uint64]string

// Kinds of postings, and what a delta does with one (dgraph-format.md, section
// 2.7).
const (
	refPosting  = 0
	valuePost   = 1
	langPosting = 2

	opSet = 1
	opDel = 2
	opOvr = 3
)

// posting is a pb.Posting.
func posting(uid, kind, op uint64, value, lang string, facet bool) string {
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uid)
	if value != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	if kind != refPosting {
		b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), kind)
	}
	if lang != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 5, protowire.BytesType), lang)
	}
	if facet {
		b = protowire.AppendString(protowire.AppendTag(b, 9, protowire.BytesType), "\x0a\x05since\x12\x042024")
	}
	return string(protowire.AppendVarint(protowire.AppendTag(b, 12, protowire.VarintType), op))
}

// deleteAll is the posting of a delta that takes away all that is older.
func deleteAll() string {
	return posting(math.MaxUint64, valuePost, opDel, "_STAR_ALL", "", false)
}

// isValue reports whether a posting holds a value, so that its uid is a hash.
func isValue(p string) bool {
	found := false
	eachField([]byte(p), func(num protowire.Number, _, _ []byte) { found = found || num == 4 })
	return found
}

// eachField takes a message apart; v is the content of a field of bytes.
func eachField(msg []byte, visit func(num protowire.Number, raw, v []byte)) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(num, typ, msg[n:])
		if m < 0 {
			return protowire.ParseError(m)
		}
		var v []byte
		if typ == protowire.BytesType {
			v, _ = protowire.ConsumeBytes(msg[n:])
		}
		visit(num, msg[:n+m], v)
		msg = msg[n+m:]
	}
	return nil
}

func (l modelList) uids() []uint64 { return slices.Sorted(maps.Keys(l)) }

// backup is l as a pb.BackupPostingList.
func (l modelList) backup() []byte {
	var b, deltas []byte
	last := uint64(0)
	for _, uid := range l.uids() {
		if p := l[uid]; p != "" {
			b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), p)
		}
		deltas, last = binary.AppendUvarint(deltas, uid-last), uid
	}
	return protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), deltas)
}

// stored is l as Badger holds it.
func (l modelList) stored(t testing.TB) []byte {
	t.Helper()
	var p dgraph.Packer
	main, parts, err := p.Pack(l.backup())
	if err != nil || len(parts) > 0 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	return main
}

// postingList is a pb.PostingList of postings alone: a delta.
func postingList(postings []string) (b []byte) {
	for _, p := range postings {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), p)
	}
	return b
}

// storedSplits is the value of a list that is stored in parts.
func storedSplits(starts []uint64) []byte {
	var packed []byte
	for _, s := range starts {
		packed = binary.AppendUvarint(packed, s)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), packed)
}

// from is the part of l between two uids.
func (l modelList) from(first, end uint64) modelList {
	part := modelList{}
	for uid, p := range l {
		if uid >= first && (end == 0 || uid < end) {
			part[uid] = p
		}
	}
	return part
}

// maxUID is the highest node that an entry of key k makes use of.
func (l modelList) maxUID(k *dgraph.Key) uint64 {
	if k.Kind != dgraph.KeyData && k.Kind != dgraph.KeyReverse || len(l) == 0 {
		return 0
	}
	highest := k.UID
	for uid, p := range l {
		if !isValue(p) {
			highest = max(highest, uid)
		}
	}
	return highest
}

// text is l for comparisons: equal lists have equal text.
func (l modelList) text() string {
	var b strings.Builder
	sum := fnv.New64a()
	for n, uid := range l.uids() {
		if n < 8 {
			fmt.Fprintf(&b, " %#x=%.40q", uid, l[uid])
		}
		fmt.Fprintf(sum, "%d %q ", uid, l[uid])
	}
	return fmt.Sprintf("%d uids %x:%s", len(l), sum.Sum(nil), b.String())
}

// parseBackupList reads a pb.BackupPostingList.
func parseBackupList(b []byte) (modelList, error) {
	l, postings := modelList{}, map[uint64]string{}
	err := eachField(b, func(num protowire.Number, _, v []byte) {
		switch num {
		case 1, 5:
			for last := uint64(0); len(v) > 0; {
				u, n := protowire.ConsumeVarint(v)
				if n < 0 {
					l = nil
					return
				}
				v = v[n:]
				if num == 5 {
					u += last
				}
				l[u], last = "", u
			}
		case 2:
			if uid, n := protowire.ConsumeFixed64(v[1:]); n > 0 {
				postings[uid] = string(v)
			}
		}
	})
	if err != nil || l == nil {
		return nil, fmt.Errorf("list %x: %w", b, err)
	}
	for uid, p := range postings {
		if _, ok := l[uid]; !ok {
			return nil, fmt.Errorf("list %x: posting of uid %#x, which it does not have", b, uid)
		}
		l[uid] = p
	}
	return l, nil
}

// A modelSchema is the schema of a predicate.
type modelSchema struct {
	valueType  uint64
	tokenizers []string
	reverse    bool
	count      bool
	vector     string // options of its index, "" for none
	flags      byte   // list, upsert, lang and other fields that restore passes on
}

// value is the pb.SchemaUpdate, with the predicate's name as given.
func (s *modelSchema) value(name string) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	number := func(num protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
		}
	}
	number(2, s.valueType)
	switch {
	case len(s.tokenizers) > 0:
		number(3, 1)
	case s.reverse:
		number(3, 2)
	}
	for _, tok := range s.tokenizers {
		b = protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), tok)
	}
	if s.count {
		number(5, 1)
	}
	for bit, num := range []protowire.Number{6, 8, 9, 13} {
		number(num, uint64(s.flags>>bit&1))
	}
	if s.vector != "" {
		spec := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s.vector)
		b = protowire.AppendBytes(protowire.AppendTag(b, 15, protowire.BytesType), spec)
	}
	return b
}

// modelTokens are the first bytes of the terms that a tokenizer makes.
var modelTokens = map[string]byte{"term": 0x1, "exact": 0x2, "year": 0x4, "int": 0x6, "hash": 0xb, "trigram": 0xa}

// An indexKind is a part of a predicate's key space that comes and goes with
// its schema.
type indexKind struct {
	kind  dgraph.KeyKind
	token byte // of KeyIndex
}

// indexes lists what s provides for.
func (s *modelSchema) indexes() []indexKind {
	var all []indexKind
	for _, tok := range s.tokenizers {
		all = append(all, indexKind{dgraph.KeyIndex, modelTokens[tok]})
	}
	if s.reverse {
		all = append(all, indexKind{kind: dgraph.KeyReverse})
	}
	if s.count {
		all = append(all, indexKind{kind: dgraph.KeyCount})
	}
	if s.count && s.reverse {
		all = append(all, indexKind{kind: dgraph.KeyCountReverse})
	}
	return all
}

// randomSchema leaves out the kinds of index in without.
func randomSchema(r *rand.Rand, without map[indexKind]bool) modelSchema {
	s := modelSchema{valueType: []uint64{0, 2, 7, 9}[r.IntN(4)], flags: byte(r.IntN(16))}
	allowed := func(k indexKind) bool { return !without[k] }
	if s.valueType == 7 {
		s.reverse = r.IntN(2) == 0 && allowed(indexKind{kind: dgraph.KeyReverse})
	} else {
		for _, tok := range slices.Sorted(maps.Keys(modelTokens)) {
			if r.IntN(4) == 0 && allowed(indexKind{dgraph.KeyIndex, modelTokens[tok]}) {
				s.tokenizers = append(s.tokenizers, tok)
			}
		}
	}
	s.count = r.IntN(4) == 0 && allowed(indexKind{kind: dgraph.KeyCount}) && (!s.reverse || allowed(indexKind{kind: dgraph.KeyCountReverse}))
	return s
}

// typeValue is a pb.TypeUpdate with all names as given.
func typeValue(name string, fields []string) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	for _, f := range fields {
		update := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), f)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), update)
	}
	return b
}

// named writes a name as a database of that generation holds it, where no JSON
// damages it.
func named(f dgraph.Form, p dgraph.Predicate) string {
	switch f {
	case dgraph.FormV20:
		return p.Name
	case dgraph.FormV21:
		return string(binary.BigEndian.AppendUint64(nil, p.Namespace)) + p.Name
	}
	return fmt.Sprintf("%x-%s", p.Namespace, p.Name)
}
