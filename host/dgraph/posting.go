package dgraph

import (
	"fmt"
	"iter"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A PostingKind says what a posting is.
type PostingKind uint8

// The kinds of postings (dgraph-format.md, section 2.7).
const (
	PostingRef   PostingKind = 0 // an edge to a node
	PostingValue PostingKind = 1 // a value
	PostingLang  PostingKind = 2 // a value in a language
)

// UntaggedUID is the uid of the one value without a language that a predicate which is no
// list has at a node.
const UntaggedUID = math.MaxUint64

// A Posting is one edge or value of a list.
type Posting struct {
	UID    uint64 // the object of an edge; of a value UntaggedUID, or the fingerprint of its language or, in a list, of its bytes
	Kind   PostingKind
	Value  Value
	Lang   string
	Facets int  // how many it has
	Del    bool // in a delta: the posting goes
}

// All is the posting that, in a delta, deletes everything older.
var All = Posting{UID: UntaggedUID, Kind: PostingValue, Del: true, Value: Value{Data: []byte("_STAR_ALL")}}

const (
	postType     = 3
	postStartTs  = 13
	postCommitTs = 14
)

// AppendDelta appends a pb.PostingList of postings, which ascend by uid: what one
// transaction did to a list.
func AppendDelta(dst []byte, postings []Posting, startTs, commitTs uint64) []byte {
	var b []byte
	for i := range postings {
		b = postings[i].appendMessage(b[:0], startTs, commitTs)
		dst = appendBytesField(dst, listPostings, b)
	}
	return appendVarintField(dst, listCommitTs, commitTs)
}

func (p *Posting) appendMessage(b []byte, startTs, commitTs uint64) []byte {
	b = protowire.AppendFixed64(protowire.AppendTag(b, postUID, protowire.Fixed64Type), p.UID)
	if len(p.Value.Data) > 0 {
		b = appendBytesField(b, postValue, p.Value.Data)
	}
	if p.Value.Type != 0 {
		b = appendVarintField(b, postType, uint64(p.Value.Type))
	}
	if p.Kind != PostingRef {
		b = appendVarintField(b, postKind, uint64(p.Kind))
	}
	if p.Lang != "" {
		b = appendBytesField(b, postLang, []byte(p.Lang))
	}
	op := uint64(opSet)
	if p.Del {
		op = opDelete
	}
	b = appendVarintField(b, postOp, op)
	b = appendVarintField(b, postStartTs, startTs)
	return appendVarintField(b, postCommitTs, commitTs)
}

// Postings yields what a backup's list holds, by uid.
func Postings(backupList []byte) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		var r postReader
		if err := parseList(backupList, &r.list); err != nil {
			yield(Posting{}, err)
			return
		}
		for {
			p, ok, err := r.next()
			if err != nil {
				yield(Posting{}, err)
				return
			}
			if !ok {
				return
			}
			out, err := p.public()
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}

func (p *post) public() (Posting, error) {
	t, err := p.valueType()
	if err != nil {
		return Posting{}, fmt.Errorf("posting %#x: %w", p.uid, err)
	}
	out := Posting{UID: p.uid, Kind: PostingKind(p.kind), Lang: string(p.lang), Value: Value{Type: t, Data: p.value}}
	for range p.facets() {
		out.Facets++
	}
	return out, nil
}
