package dgraph

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// keepBuffer is how large a buffer is kept for the next list.
const keepBuffer = 4 << 20

// A Roller merges the stored versions of one posting list into the list they amount to
// at a read timestamp. For each key: Reset; Add of every version up to that
// timestamp, newest first, until there are no more; AddPart for each of Splits;
// AppendBackupList. The zero Roller is ready; it is used for list after list,
// by one goroutine, and allocates nothing where the newest version is a complete list.
//
// What it makes is never changed by how often the database has rolled the list up
// itself, but for the commit timestamps that Dgraph then adds to postings.
type Roller struct {
	buf    []byte // the values, one after another; slices of it stay valid as it grows
	deltas [][]byte
	base   []stored // a complete list, or its parts
	splits []uint64
	parts  int // how many were added
	done   bool

	uids  []uint64 // of one block
	ops   []op
	enc   []byte // uids, encoded
	posts []byte // postings that are left
}

// A stored is a pb.PostingList taken apart.
type stored struct {
	pack     []byte
	postings []byte
	commitTs uint64
}

// An op is a posting of a delta.
type op struct {
	uid   uint64
	age   int // of its delta; 0 is the newest
	at    int // within its delta; of two on one uid the later one counts
	del   bool
	value []byte // the posting, nil for a plain edge
}

// Reset makes r ready for the next key.
func (r *Roller) Reset() {
	if cap(r.buf)+cap(r.posts)+cap(r.enc) > keepBuffer {
		r.buf, r.posts, r.enc = nil, nil, nil
	}
	clear(r.deltas)
	clear(r.base)
	clear(r.ops)
	r.buf, r.deltas, r.base, r.ops = r.buf[:0], r.deltas[:0], r.base[:0], r.ops[:0]
	r.splits, r.parts, r.done = r.splits[:0], 0, false
}

// Add takes the next older version: user meta and value of its item. It returns more =
// false once everything older has no say. It keeps a copy of value.
func (r *Roller) Add(userMeta byte, value []byte) (more bool, err error) {
	if r.done {
		return false, fmt.Errorf("%w: version of a list below its complete one", ErrCorrupt)
	}
	switch userMeta {
	case MetaDelta:
		r.deltas = append(r.deltas, r.copy(value))
		return true, nil
	case MetaEmpty:
		r.done = true
		return false, nil
	case MetaComplete:
		splits, err := r.addBase(value)
		if err != nil {
			return false, err
		}
		r.done = true
		for len(splits) > 0 {
			uid, n := uvarint(splits)
			if n <= 0 || uid == 0 || len(r.splits) > 0 && uid <= r.splits[len(r.splits)-1] {
				return false, fmt.Errorf("%w: list with broken splits", ErrCorrupt)
			}
			r.splits, splits = append(r.splits, uid), splits[n:]
		}
		return false, nil
	}
	return false, fmt.Errorf("%w: list with user meta %#02x", ErrCorrupt, userMeta)
}

func (r *Roller) copy(value []byte) []byte {
	at := len(r.buf)
	r.buf = append(r.buf, value...)
	return r.buf[at:len(r.buf):len(r.buf)]
}

// addBase takes a complete list, or a part of one, and returns its splits, packed.
func (r *Roller) addBase(value []byte) (splits []byte, err error) {
	var (
		s               stored
		f               field
		firstPost, last int
	)
	b := r.copy(value)
	for rest := b; len(rest) > 0; {
		at := len(b) - len(rest)
		if rest, err = nextField(rest, &f); err != nil {
			return nil, fmt.Errorf("stored list: %w", err)
		}
		switch {
		case f.is(storedPack, protowire.BytesType) && s.pack == nil:
			s.pack = f.b
		case f.is(storedPostings, protowire.BytesType) && (last == 0 || last == at):
			if last == 0 {
				firstPost = at
			}
			last = at + len(f.raw)
		case f.is(storedCommitTs, protowire.VarintType):
			s.commitTs = f.u
		case f.is(storedSplits, protowire.BytesType) && splits == nil:
			splits = f.b
		case f.is(storedBitmap, protowire.BytesType):
			return nil, fmt.Errorf("%w: list with a bitmap, as only Dgraph 21.12 wrote", ErrCorrupt)
		case f.num < storedBitmap:
			return nil, fmt.Errorf("%w: stored list with field %d of type %d out of place", ErrCorrupt, f.num, f.typ)
		}
	}
	s.postings = b[firstPost:last:last]
	r.base = append(r.base, s)
	return splits, nil
}

// Splits returns where the parts of a long list begin: the StartUIDs, ascending, of the
// keys whose values AddPart wants. It is nil for nearly every list.
func (r *Roller) Splits() []uint64 {
	if len(r.splits) == 0 {
		return nil
	}
	return r.splits
}

// AddPart takes the value of the part at the next of Splits, as it was when the
// complete version was written: other values of that key belong to other versions.
// It keeps a copy of value.
func (r *Roller) AddPart(value []byte) error {
	if r.parts == len(r.splits) {
		return fmt.Errorf("%w: list with more than its %d parts", ErrCorrupt, r.parts)
	}
	splits, err := r.addBase(value)
	if err == nil && len(splits) > 0 {
		err = fmt.Errorf("%w: part of a list with parts of its own", ErrCorrupt)
	}
	r.parts++
	return err
}

// AppendBackupList appends the merged list as a backup holds it. An empty list has
// no bytes.
func (r *Roller) AppendBackupList(dst []byte, e ListEncoding) (out []byte, empty bool, err error) {
	if r.parts < len(r.splits) {
		return dst, false, fmt.Errorf("%w: list with %d of its %d parts", ErrCorrupt, r.parts, len(r.splits))
	}
	r.enc, r.posts = r.enc[:0], r.posts[:0]
	w := uidWriter{buf: r.enc, deltas: e == UIDBytes}
	if len(r.deltas) == 0 {
		err = r.transcode(&w)
	} else {
		err = r.merge(&w)
	}
	r.enc = w.buf
	if err != nil || len(w.buf) == 0 {
		return dst, err == nil, err
	}
	if e == UIDs {
		dst = appendBytesField(dst, listUIDs, w.buf)
	}
	if len(r.deltas) == 0 {
		for i := range r.base {
			dst = append(dst, r.base[i].postings...)
		}
		dst = appendVarintField(dst, listCommitTs, r.base[0].commitTs)
	} else {
		dst = append(dst, r.posts...)
	}
	if e == UIDBytes {
		dst = appendBytesField(dst, listUIDBytes, w.buf)
	}
	return dst, false, nil
}

// A uidWriter encodes uids for a backup.
type uidWriter struct {
	buf    []byte
	deltas bool
	last   uint64
}

func (w *uidWriter) add(uid uint64) {
	u := uid
	if w.deltas {
		u -= w.last
	}
	w.last = uid
	if u < 0x80 {
		w.buf = append(w.buf, byte(u))
		return
	}
	w.buf = binary.AppendUvarint(w.buf, u)
}

// transcode writes the uids of a list without deltas; its postings stay as they are.
func (r *Roller) transcode(w *uidWriter) error {
	var err error
	for i := range r.base {
		for pack := r.base[i].pack; len(pack) > 0; {
			if r.uids, pack, err = nextBlock(r.uids[:0], pack, len(w.buf) == 0, w.last); err != nil {
				return err
			}
			for _, uid := range r.uids {
				w.add(uid)
			}
		}
		if len(w.buf) == 0 && len(r.base[i].postings) > 0 {
			return fmt.Errorf("%w: stored list with postings but no uids", ErrCorrupt)
		}
	}
	return nil
}

// merge writes the uids that are left after the deltas, and collects their postings.
func (r *Roller) merge(w *uidWriter) error {
	base, err := r.collect()
	if err != nil {
		return err
	}
	ops := r.ops
	var (
		p     post
		first = true
		last  uint64
	)
	for i := range base {
		postings := base[i].postings
		for pack := base[i].pack; len(pack) > 0; {
			if r.uids, pack, err = nextBlock(r.uids[:0], pack, first, last); err != nil {
				return err
			}
			for _, uid := range r.uids {
				first, last = false, uid
				for len(ops) > 0 && ops[0].uid < uid {
					r.apply(w, &ops[0])
					ops = ops[1:]
				}
				for len(postings) > 0 && (p.raw == nil || p.uid < uid) {
					if postings, err = nextPost(postings, &p); err != nil {
						return err
					}
				}
				if len(ops) > 0 && ops[0].uid == uid {
					continue
				}
				w.add(uid)
				if p.raw != nil && p.uid == uid {
					r.posts = append(r.posts, p.raw...)
				}
			}
		}
		if len(postings) > 0 {
			return fmt.Errorf("%w: stored list with a posting that has no uid", ErrCorrupt)
		}
	}
	for i := range ops {
		r.apply(w, &ops[i])
	}
	return nil
}

func (r *Roller) apply(w *uidWriter, o *op) {
	if !o.del {
		w.add(o.uid)
		r.posts = append(r.posts, o.value...)
	}
}

// collect fills r.ops with the newest operation on each uid, ascending, and returns what
// they apply to: nothing after a posting that deletes all. Postings in the same delta as
// that one are newer than it wherever they stand.
func (r *Roller) collect() (base []stored, err error) {
	var (
		f field
		p post
	)
	base = r.base
	r.ops = r.ops[:0]
	for age, delta := range r.deltas {
		deletesAll := false
		for len(delta) > 0 {
			rest, err := nextField(delta, &f)
			if err != nil {
				return nil, fmt.Errorf("delta: %w", err)
			}
			if !f.is(storedPostings, protowire.BytesType) {
				if f.num <= storedBitmap && f.num != storedCommitTs {
					return nil, fmt.Errorf("%w: delta with field %d", ErrCorrupt, f.num)
				}
				delta = rest
				continue
			}
			if delta, err = nextPost(delta, &p); err != nil {
				return nil, err
			}
			if p.op > opOverwrite {
				return nil, fmt.Errorf("%w: posting with operation %d", ErrCorrupt, p.op)
			}
			if p.deletesAll() {
				deletesAll = true
				continue
			}
			o := op{uid: p.uid, age: age, at: len(r.ops), del: p.op == opDelete}
			if !o.del && p.kept() {
				o.value = p.raw
			}
			r.ops = append(r.ops, o)
		}
		if deletesAll {
			base = nil
			break
		}
	}
	slices.SortFunc(r.ops, func(a, b op) int {
		return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.age, b.age), cmp.Compare(b.at, a.at))
	})
	r.ops = slices.CompactFunc(r.ops, func(a, b op) bool { return a.uid == b.uid })
	return base, nil
}
