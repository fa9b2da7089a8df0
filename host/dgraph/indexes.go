package dgraph

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// Indexes is which keys besides its data a predicate has, as its schema says.
type Indexes struct {
	Reverse, Count bool
	Vector         string // the vector index's specification as it stands; "" for none

	all    bool     // any index key: a tokenizer is not one of Dgraph's own
	tokens [32]byte // a bit per first byte of an index term
}

// tokenizers are the first bytes of the terms that Dgraph's tokenizers make
// (dgraph-format.md, section 2.8; exact has one of its own for language values).
var tokenizers = map[string][]byte{
	"term": {0x1}, "exact": {0x2, 0x3}, "year": {0x4}, "month": {0x41}, "day": {0x42}, "hour": {0x43},
	"geo": {0x5}, "int": {0x6}, "float": {0x7}, "fulltext": {0x8}, "bool": {0x9}, "trigram": {0xa},
	"hash": {0xb}, "sha256": {0xc}, "big_float": {0xd}, "bigfloat": {0xd}, "ngram": {0xf},
}

// directives of a schema (dgraph-format.md, section 2.9).
const (
	directiveIndex   = 1
	directiveReverse = 2
)

// ParseIndexes reads what a SchemaUpdate says of indexes.
func ParseIndexes(schemaUpdate []byte) (Indexes, error) {
	var (
		x         Indexes
		directive uint64
		names     []string
		vector    [][]byte
		f         field
		err       error
	)
	for msg := schemaUpdate; len(msg) > 0; {
		if msg, err = nextField(msg, &f); err != nil {
			return x, err
		}
		switch {
		case f.is(3, protowire.VarintType):
			directive = f.u
		case f.is(4, protowire.BytesType):
			names = append(names, string(f.b))
		case f.is(5, protowire.VarintType):
			x.Count = f.u != 0
		case f.is(15, protowire.BytesType):
			vector = append(vector, f.b)
		}
	}
	x.Reverse = directive == directiveReverse
	x.Vector = string(bytes.Join(vector, []byte{0}))
	if directive == directiveIndex {
		x.index(names)
	}
	return x, nil
}

func (x *Indexes) index(names []string) {
	for _, name := range names {
		first, ok := tokenizers[name]
		x.all = x.all || !ok
		for _, b := range first {
			x.tokens[b/8] |= 1 << (b % 8)
		}
	}
	x.all = x.all || len(names) == 0
}

// Has reports whether a predicate so indexed can have the key k.
func (x *Indexes) Has(k *Key) bool {
	switch k.Kind {
	case KeyReverse:
		return x.Reverse
	case KeyCount:
		return x.Count
	case KeyCountReverse:
		return x.Count && x.Reverse
	case KeyIndex:
		return x.all || len(k.Term) == 0 || x.tokens[k.Term[0]/8]&(1<<(k.Term[0]%8)) != 0
	}
	return true
}
