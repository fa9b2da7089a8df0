package query

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// ErrTooLarge means an answer of more than 64 MiB.
var ErrTooLarge = errors.New("the answer is too large")

const maxAnswer = 64 << 20

// Run answers the query for a namespace, from what the view shows and the schema that the store
// has now.
func (q *Query) Run(ctx context.Context, s *store.Store, view *store.View, namespace uint64) (*Answer, error) {
	r := &run{ctx: ctx, view: view, ns: namespace, schema: map[string]dgraph.PredicateSchema{}, types: map[string][]string{}}
	predicates, types := s.Schema(), s.Types()
	for _, p := range predicates {
		if p.Namespace == namespace {
			r.schema[p.Name] = p.PredicateSchema
		}
	}
	for _, t := range types {
		if t.Namespace == namespace {
			r.types[t.Name] = t.Fields
		}
	}
	if err := r.alive(nil); err != nil {
		return nil, err
	}
	a := &Answer{}
	dst := []byte{'{'}
	for i := range q.blocks {
		if err := r.check(q.blocks[i].fields); err != nil {
			return nil, err
		}
		dst = appendKey(dst, q.blocks[i].name)
		var err error
		if dst, err = r.block(dst, &q.blocks[i]); err != nil {
			return nil, err
		}
	}
	for _, sq := range q.schema {
		err := r.alive(dst)
		if err == nil {
			dst, err = r.describe(dst, sq, a)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.untyped {
		a.Warnings = append(a.Warnings, "expand(_all_) shows what the types of a node name, and some nodes here have no dgraph.type, or one that the schema does not have")
	}
	a.JSON = append(dst, '}')
	return a, nil
}

// A run is one query being answered.
type run struct {
	ctx    context.Context
	view   *store.View
	ns     uint64
	schema map[string]dgraph.PredicateSchema
	types  map[string][]string
	steps  int // nodes and fields that were looked at

	untyped bool // nodes were to be expanded of which no type says what they have
}

func (r *run) name(attr string) dgraph.Predicate {
	return dgraph.Predicate{Namespace: r.ns, Name: attr}
}

// check refuses fields that do not fit the schema. A predicate that the schema does not have
// is no mistake: it has nothing yet.
func (r *run) check(fields []field) error {
	for i := range fields {
		f := &fields[i]
		if p, ok := r.schema[f.attr]; ok && f.kind == fieldValue {
			var err error
			switch {
			case p.Type == dgraph.ValuePassword:
				err = fmt.Errorf("%w: Attribute `%s` of type password cannot be fetched", ErrQuery, f.attr)
			case p.Type == dgraph.ValueUID && !f.nested:
				err = &problem{fmt.Errorf("%w: %s leads to nodes", ErrQuery, f.attr), "say what is wanted of them, as in " + f.attr + " { uid }"}
			case p.Type != dgraph.ValueUID && f.nested:
				err = &problem{fmt.Errorf("%w: %s leads to no nodes: it is of type %s", ErrQuery, f.attr, p.Type.Name()), "leave out its { }"}
			case len(f.langs) > 0 && !p.Lang:
				err = &problem{fmt.Errorf("%w: %s has no languages", ErrQuery, f.attr), "the schema gives them with @lang"}
			}
			if err != nil {
				return err
			}
		}
		if err := r.check(f.fields); err != nil {
			return err
		}
	}
	return nil
}

// alive is called before the first node, and for every node and field, and ends a run that
// takes too long.
func (r *run) alive(answer []byte) error {
	if r.steps%64 == 0 {
		if err := r.ctx.Err(); err != nil {
			return fmt.Errorf("the query was ended: %w", err)
		}
	}
	r.steps++
	if len(answer) > maxAnswer {
		return &problem{fmt.Errorf("%w: more than %d MiB", ErrTooLarge, maxAnswer>>20), "ask for parts of it, with first and after"}
	}
	return nil
}

// block appends the array of a block.
func (r *run) block(dst []byte, b *block) ([]byte, error) {
	found, err := r.find(&b.root)
	if err != nil {
		return dst, err
	}
	return r.list(dst, b.page.of(found), b.fields)
}

// list appends an array with an object for each node of which something is wanted and known.
func (r *run) list(dst []byte, nodes iter.Seq2[uint64, error], fields []field) ([]byte, error) {
	start := len(dst)
	counted, n, others := "", 0, false
	for i := range fields {
		if fields[i].kind == fieldCountUID {
			counted = fields[i].key
		} else {
			others = true
		}
	}
	dst = append(dst, '[')
	for uid, err := range nodes {
		if err == nil {
			err = r.alive(dst)
		}
		if err != nil {
			return dst, err
		}
		n++
		if !others {
			continue
		}
		if dst, err = r.element(dst, uid, fields); err != nil {
			return dst, err
		}
	}
	if counted != "" { // stands first
		first := appendKey([]byte("[{"), counted)
		first = fmt.Appendf(first, "%d},", n)
		dst = append(dst[:start], slices.Concat(first, dst[start+1:])...)
	}
	if last := len(dst) - 1; dst[last] == ',' {
		dst = dst[:last]
	}
	return append(dst, ']'), nil
}

// element appends an object and a comma, or nothing if nothing is known of the node.
func (r *run) element(dst []byte, uid uint64, fields []field) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '{')
	empty := len(dst)
	var seen []string
	dst, err := r.node(dst, uid, fields, &seen)
	if err != nil || len(dst) == empty {
		return dst[:start], err
	}
	return append(dst, '}', ','), nil
}

// node appends the members of a node's object. What is asked twice is there once.
func (r *run) node(dst []byte, uid uint64, fields []field, seen *[]string) ([]byte, error) {
	for i := range fields {
		f := &fields[i]
		if f.kind == fieldCountUID {
			continue
		}
		if err := r.alive(dst); err != nil {
			return dst, err
		}
		if f.kind != fieldExpand {
			if slices.Contains(*seen, f.key) {
				continue
			}
			*seen = append(*seen, f.key)
		}
		var err error
		switch f.kind {
		case fieldUID:
			dst = fmt.Appendf(appendKey(dst, f.key), "\"%#x\"", uid)
		case fieldExpand:
			dst, err = r.expand(dst, uid, f, seen)
		case fieldCount:
			var all []dgraph.Posting
			if all, err = r.view.Postings(r.name(f.attr), uid); err == nil {
				dst = fmt.Appendf(appendKey(dst, f.key), "%d", len(all))
			}
		default:
			dst, err = r.field(dst, uid, f)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// expand appends what the types of a node say that it has. Values in languages are all there.
func (r *run) expand(dst []byte, uid uint64, f *field, seen *[]string) ([]byte, error) {
	types := f.types
	if types == nil {
		all, err := r.view.Postings(r.name("dgraph.type"), uid)
		if err != nil {
			return dst, err
		}
		for i := range all {
			types = append(types, string(all[i].Value.Data))
		}
	}
	var fields []field
	known := false
	for _, t := range types {
		attrs, ok := r.types[t]
		known = known || ok
		for _, attr := range attrs {
			p, ok := r.schema[attr]
			edge := p.Type == dgraph.ValueUID
			if !ok || p.Type == dgraph.ValuePassword || edge && !f.nested || strings.HasPrefix(attr, "~") {
				continue
			}
			x := field{kind: fieldValue, key: attr, attr: attr, page: f.page}
			if edge {
				x.nested, x.fields = true, f.fields
			}
			if p.Lang {
				x.langs = []string{"*"}
			}
			fields = append(fields, x)
		}
	}
	r.untyped = r.untyped || f.types == nil && !known
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.key, b.key) })
	return r.node(dst, uid, fields, seen)
}

// appendKey appends a member's name, and a comma before it where one is due.
func appendKey(dst []byte, key string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	name, _ := json.Marshal(key) // of a string
	return append(append(dst, name...), ':')
}
