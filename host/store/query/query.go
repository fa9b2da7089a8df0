// Package query answers the queries that tests, demonstrations and curl need: nodes by uid,
// by having a predicate, by a value or by type, and what is known of them.
//
// It is the part of DQL that needs no index keys: a value is searched by reading the predicate.
//
//	{
//	  people(func: has(name), first: 10) { uid name name@en friend (first: 2) { name } }
//	  one(func: uid(0x1, 0x2)) { expand(_all_) { uid } how_many: count(friend) }
//	  bob(func: eq(name, "Bob")) { dgraph.type }
//	}
//
// Whatever else DQL has is refused by name. Answers have Dgraph's shape.
package query

import (
	"errors"
	"fmt"
)

// ErrQuery means text that is no query, or one for something that is not there.
var ErrQuery = errors.New("invalid query")

// A Query is a query that was understood.
type Query struct {
	blocks []block
	schema []schemaQuery
}

// An Answer is what a query found.
type Answer struct {
	JSON     []byte   // one object, with a member per block
	Warnings []string // what the answer does not show by itself
}

// A block is one tree of an answer.
type block struct {
	name   string
	root   function
	page   page
	fields []field
}

// A function finds the nodes of a block.
type function struct {
	name   string // uid, has, eq, type
	attr   string
	lang   string
	values []string
	uids   []uint64 // ascending, each once
}

// A page is the part of a list that is wanted.
type page struct {
	first  int // below 0: the last ones; 0: all
	offset int
	after  uint64
}

// A field is what is wanted of a node.
type field struct {
	kind   fieldKind
	key    string // in the answer
	attr   string
	langs  []string // in order of preference; "." for any, "*" for all
	page   page
	types  []string // to expand; nil: the node's own
	nested bool     // has fields of its own
	fields []field
}

type fieldKind uint8

const (
	fieldValue    fieldKind = iota // a predicate
	fieldUID                       // the node's uid
	fieldCount                     // how many edges or values a predicate has
	fieldCountUID                  // how many nodes the block has
	fieldExpand                    // the predicates of types
)

// A schemaQuery asks for predicates and types.
type schemaQuery struct {
	predicates, types []string // nil: all
	onlyTypes         bool
	fields            []string // nil: all
}

// A problem is a query that cannot be answered, with what could be asked instead.
type problem struct {
	error
	hint string
}

func (p *problem) Unwrap() error { return p.error }

// Hint says what there is.
func (p *problem) Hint() string { return p.hint }

const (
	hintFunctions = "there are uid(0x1, ...), has(predicate), eq(predicate, value, ...) and type(Name)"
	hintFields    = "there are uid, predicates with @language, nested { }, count(uid), count(predicate), expand(_all_), expand(Type), aliases, and first, offset and after"
)

func unsupported(line int, what, hint string) error {
	return &problem{fmt.Errorf("%w: line %d: %s is not supported here", ErrQuery, line, what), hint}
}
