package dgraph

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// A ListEncoding is how a backup writes the uids of a list.
type ListEncoding uint8

// Both are in use; a list has one of them.
const (
	UIDBytes ListEncoding = iota // differences, as 21.03 and later do
	UIDs                         // the uids themselves, the only way that 20.03 and 20.07 read
)

// Fields of pb.BackupPostingList.
const (
	listUIDs     = 1
	listPostings = 2
	listCommitTs = 3
	listSplits   = 4
	listUIDBytes = 5
)

// A list is a pb.BackupPostingList taken apart. It aliases the message.
type list struct {
	uids     uidReader
	postings []byte // the posting fields as they stand, tags included
	commitTs uint64
	splits   []byte // packed
}

// parseList takes b apart without looking into postings.
func parseList(b []byte, l *list) error {
	*l = list{}
	var (
		f               field
		err             error
		uids, uidBytes  []byte
		firstPost, last int
	)
	for rest := b; len(rest) > 0; {
		at := len(b) - len(rest)
		if rest, err = nextField(rest, &f); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		switch {
		case f.is(listUIDs, protowire.BytesType) && uids == nil:
			uids = f.b
		case f.is(listPostings, protowire.BytesType) && (last == 0 || last == at):
			if last == 0 {
				firstPost = at
			}
			last = at + len(f.raw)
		case f.is(listCommitTs, protowire.VarintType):
			l.commitTs = f.u
		case f.is(listSplits, protowire.BytesType) && l.splits == nil:
			l.splits = f.b
		case f.is(listUIDBytes, protowire.BytesType) && uidBytes == nil:
			uidBytes = f.b
		case f.num <= listUIDBytes:
			return fmt.Errorf("%w: list with field %d of type %d out of place", ErrCorrupt, f.num, f.typ)
		}
	}
	l.postings = b[firstPost:last:last]
	l.uids = uidReader{b: uids}
	if len(uids) == 0 {
		l.uids = uidReader{b: uidBytes, deltas: true}
	}
	return nil
}

// A uidReader reads the uids of a backup's list, ascending.
type uidReader struct {
	b      []byte
	deltas bool // b holds differences
	begun  bool
	last   uint64
}

// next returns the next uid; ok is false after the last one.
func (r *uidReader) next() (uid uint64, ok bool, err error) {
	if len(r.b) == 0 {
		return 0, false, nil
	}
	uid, n := uvarint(r.b)
	if n <= 0 {
		return 0, false, fmt.Errorf("%w: list with a broken uid", ErrCorrupt)
	}
	if r.deltas {
		uid += r.last
	}
	if uid <= r.last && r.begun {
		return 0, false, errOrder
	}
	r.b, r.last, r.begun = r.b[n:], uid, true
	return uid, true, nil
}

var errOrder = fmt.Errorf("%w: list whose uids do not ascend", ErrCorrupt)

// A post is what moving a list needs to know of a pb.Posting. It aliases the message.
type post struct {
	uid   uint64
	value []byte
	kind  uint64 // posting_type: REF 0, VALUE 1, VALUE_LANG 2
	lang  []byte
	op    uint64
	more  bool // has facets or, in 20.x, a label
	raw   []byte
}

// Fields of pb.Posting, and its operations.
const (
	postUID    = 1
	postValue  = 2
	postKind   = 4
	postLang   = 5
	postLabel  = 6
	postFacets = 9
	postOp     = 12

	opSet       = 1
	opDelete    = 2
	opOverwrite = 3 // Set of a uid that was there
)

// nextPost reads the first posting of postings, which are not empty and
// as [parseList] left them, and returns those after it.
func nextPost(postings []byte, p *post) (rest []byte, err error) {
	var f field
	if rest, err = nextField(postings, &f); err != nil {
		return nil, fmt.Errorf("posting: %w", err)
	}
	*p = post{raw: f.raw}
	for msg := f.b; len(msg) > 0; {
		if msg, err = nextField(msg, &f); err != nil {
			return nil, fmt.Errorf("posting: %w", err)
		}
		switch {
		case f.is(postUID, protowire.Fixed64Type):
			p.uid = f.u
		case f.is(postValue, protowire.BytesType):
			p.value = f.b
		case f.is(postKind, protowire.VarintType):
			p.kind = f.u
		case f.is(postLang, protowire.BytesType):
			p.lang = f.b
		case f.is(postLabel, protowire.BytesType), f.is(postFacets, protowire.BytesType):
			p.more = true
		case f.is(postOp, protowire.VarintType):
			p.op = f.u
		}
	}
	return rest, nil
}

// deletesAll reports whether p, in a delta, deletes all that is older.
func (p *post) deletesAll() bool {
	return p.op == opDelete && string(p.value) == "_STAR_ALL" && len(p.lang) == 0
}

// kept reports whether a list keeps p itself beside its uid.
func (p *post) kept() bool {
	return p.kind != 0 || p.more
}

// ReencodeList appends a backup's list with its uids in encoding e: the same list,
// fields in the order of their numbers.
func ReencodeList(dst, backupList []byte, e ListEncoding) ([]byte, error) {
	var l list
	if err := parseList(backupList, &l); err != nil {
		return dst, err
	}
	out := dst
	if e == UIDs {
		var err error
		if out, err = l.appendUIDs(out, e); err != nil {
			return dst, err
		}
	}
	out = append(out, l.postings...)
	out = appendVarintField(out, listCommitTs, l.commitTs)
	if len(l.splits) > 0 {
		out = appendBytesField(out, listSplits, l.splits)
	}
	if e == UIDBytes {
		var err error
		if out, err = l.appendUIDs(out, e); err != nil {
			return dst, err
		}
	}
	return out, nil
}

// appendUIDs appends the field of uids in encoding e, nothing if there are none.
func (l *list) appendUIDs(dst []byte, e ListEncoding) ([]byte, error) {
	if len(l.uids.b) == 0 {
		return dst, nil
	}
	size, last := 0, uint64(0)
	for r := l.uids; ; {
		uid, ok, err := r.next()
		if err != nil {
			return dst, err
		}
		if !ok {
			break
		}
		if e == UIDs {
			last = 0
		}
		size, last = size+uvarintLen(uid-last), uid
	}
	dst, last = append(dst, uidTag(e)), 0
	dst = binary.AppendUvarint(dst, uint64(size))
	for r := l.uids; ; {
		uid, ok, _ := r.next()
		if !ok {
			return dst, nil
		}
		if e == UIDs {
			last = 0
		}
		dst, last = binary.AppendUvarint(dst, uid-last), uid
	}
}

func uidTag(e ListEncoding) byte {
	if e == UIDs {
		return listUIDs<<3 | byte(protowire.BytesType)
	}
	return listUIDBytes<<3 | byte(protowire.BytesType)
}

func uvarintLen(u uint64) int {
	return (bits.Len64(u|1) + 6) / 7
}

// MaxUID returns the highest uid that an entry makes use of: that of its key,
// and the objects of its edges, which may be nodes that have no key of their own.
// Zero must lease no uid up to it again.
func MaxUID(k *Key, backupList []byte) (uint64, error) {
	if k.Kind != KeyData && k.Kind != KeyReverse {
		return 0, nil
	}
	var l list
	if err := parseList(backupList, &l); err != nil {
		return k.UID, err
	}
	highest := k.UID
	var p post
	postings := l.postings
	for {
		uid, ok, err := l.uids.next()
		if !ok || err != nil {
			return highest, err
		}
		for len(postings) > 0 && p.uid < uid {
			if postings, err = nextPost(postings, &p); err != nil {
				return highest, err
			}
		}
		if p.raw != nil && p.uid == uid && p.kind != 0 {
			continue // the uid of a value is a hash
		}
		highest = max(highest, uid)
	}
}

// DropRecords returns the values in a list of [DropPredicate], as [ParseDropValue]
// reads them. An emptied list, a record that somebody deleted, has none.
func DropRecords(backupList []byte) ([]string, error) {
	var l list
	if err := parseList(backupList, &l); err != nil {
		return nil, err
	}
	var (
		records []string
		p       post
		err     error
	)
	for rest := l.postings; len(rest) > 0; {
		if rest, err = nextPost(rest, &p); err != nil {
			return nil, err
		}
		if p.kind != 0 {
			records = append(records, string(p.value))
		}
	}
	return records, nil
}
