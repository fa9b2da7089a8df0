package query

import (
	"bytes"
	"fmt"
	"iter"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

// find returns the nodes that a function finds, ascending.
func (r *run) find(f *function) (iter.Seq2[uint64, error], error) {
	switch f.name {
	case "uid":
		return each(f.uids), nil
	case "has":
		return r.all(r.name(f.attr)), nil
	case "type":
		return r.equal(r.name("dgraph.type"), "", []dgraph.Value{{Type: dgraph.ValueString, Data: []byte(f.attr)}}), nil
	}
	p, ok := r.schema[f.attr]
	switch {
	case !ok:
		return each(nil), nil
	case p.Type == dgraph.ValueUID || p.Type == dgraph.ValuePassword || p.Type == dgraph.ValueGeo:
		return nil, &problem{fmt.Errorf("%w: eq(%s) compares values, and it is of type %s", ErrQuery, f.attr, p.Type.Name()), hintFunctions}
	case f.lang != "" && !p.Lang:
		return nil, &problem{fmt.Errorf("%w: %s has no languages", ErrQuery, f.attr), "the schema gives them with @lang"}
	}
	var values []dgraph.Value
	for _, text := range f.values {
		v, err := dgraph.ParseValue(p.Type, text)
		if err != nil {
			return nil, fmt.Errorf("%w: eq(%s): %w", ErrQuery, f.attr, err)
		}
		values = append(values, v)
	}
	return r.equal(p.Predicate, f.lang, values), nil
}

func each(uids []uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for _, uid := range uids {
			if !yield(uid, nil) {
				return
			}
		}
	}
}

// all yields the nodes that have p.
func (r *run) all(p dgraph.Predicate) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for uid, err := range r.view.UIDs(p) {
			if err == nil {
				err = r.alive(nil)
			}
			if !yield(uid, err) || err != nil {
				return
			}
		}
	}
}

// equal yields the nodes where p has one of the values. It reads all of p.
func (r *run) equal(p dgraph.Predicate, lang string, values []dgraph.Value) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for uid, err := range r.all(p) {
			found := false
			if err == nil {
				found, err = r.holds(p, uid, lang, values)
			}
			if (err != nil || found) && (!yield(uid, err) || err != nil) {
				return
			}
		}
	}
}

func (r *run) holds(p dgraph.Predicate, uid uint64, lang string, values []dgraph.Value) (bool, error) {
	all, err := r.view.Postings(p, uid)
	for i := range all {
		if all[i].Kind == dgraph.PostingRef || all[i].Lang != lang {
			continue
		}
		for _, want := range values {
			if sameValue(all[i].Value, want) {
				return true, err
			}
		}
	}
	return false, err
}

// sameValue reports whether have, which may be from before the schema changed, is want.
func sameValue(have, want dgraph.Value) bool {
	if have.Type != want.Type {
		var err error
		if have, err = have.Convert(want.Type); err != nil {
			return false
		}
	}
	if want.Type == dgraph.ValueDatetime { // the same moment in another zone
		var a, b time.Time
		return a.UnmarshalBinary(have.Data) == nil && b.UnmarshalBinary(want.Data) == nil && a.Equal(b)
	}
	return bytes.Equal(have.Data, want.Data)
}

// of yields the part of nodes, which ascend, that is wanted.
func (p page) of(nodes iter.Seq2[uint64, error]) iter.Seq2[uint64, error] {
	if p.first < 0 {
		return p.lastOf(nodes)
	}
	return func(yield func(uint64, error) bool) {
		skip, left := p.offset, p.first
		for uid, err := range nodes {
			if err == nil && p.after > 0 && uid <= p.after {
				continue
			}
			if err == nil && skip > 0 {
				skip--
				continue
			}
			if !yield(uid, err) || err != nil {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// lastOf yields the last ones; an offset counts from the end, too.
func (p page) lastOf(nodes iter.Seq2[uint64, error]) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		keep := -p.first + p.offset
		var last []uint64
		for uid, err := range (page{after: p.after}).of(nodes) {
			if err != nil {
				yield(0, err)
				return
			}
			if last = append(last, uid); len(last) >= 2*keep {
				last = append(last[:0], last[len(last)-keep:]...)
			}
		}
		last = last[max(len(last)-keep, 0):]
		for _, uid := range last[:max(len(last)-p.offset, 0)] {
			if !yield(uid, nil) {
				return
			}
		}
	}
}
