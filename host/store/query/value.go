package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// field appends the member for a predicate, if the node has it.
func (r *run) field(dst []byte, uid uint64, f *field) ([]byte, error) {
	name := r.name(f.attr)
	all, err := r.view.Postings(name, uid)
	if err != nil || len(all) == 0 {
		return dst, err
	}
	p, known := r.schema[f.attr]
	if !known { // never seen by the schema: what there is says what it is
		p = dgraph.PredicateSchema{Predicate: name, List: len(all) > 1, Type: all[0].Value.Type}
	}
	if f.nested {
		return r.edges(dst, f, &p, all)
	}
	if len(f.langs) == 0 {
		return r.plain(dst, f, &p, uid, all)
	}
	return r.inLanguages(dst, f, &p, uid, all)
}

// edges appends the nodes that edges lead to: an array, or one object if the predicate is no
// list.
func (r *run) edges(dst []byte, f *field, p *dgraph.PredicateSchema, all []dgraph.Posting) ([]byte, error) {
	var uids []uint64
	for i := range all {
		if all[i].Kind == dgraph.PostingRef {
			uids = append(uids, all[i].UID)
		}
	}
	start := len(dst)
	dst = appendKey(dst, f.key)
	array := len(dst)
	dst, err := r.list(dst, f.page.of(each(uids)), f.fields)
	switch {
	case err != nil:
		return dst, err
	case len(dst) == array+len("[]"):
		return dst[:start], nil
	case !p.List && len(uids) == 1 && dst[len(dst)-2] == '}':
		copy(dst[array:], dst[array+1:])
		return dst[:len(dst)-2], nil
	}
	return dst, nil
}

// plain appends the values without a language.
func (r *run) plain(dst []byte, f *field, p *dgraph.PredicateSchema, uid uint64, all []dgraph.Posting) ([]byte, error) {
	start := len(dst)
	dst = appendKey(dst, f.key)
	if !p.List {
		for i := range all {
			if all[i].Kind == dgraph.PostingValue {
				return appendValue(dst, p, uid, all[i].Value)
			}
		}
		return dst[:start], nil
	}
	dst = append(dst, '[')
	left, skip, n := f.page.first, f.page.offset, 0
	for i := range all {
		if all[i].Kind != dgraph.PostingValue {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendValue(dst, p, uid, all[i].Value); err != nil {
			return dst, err
		}
		n++
		if left--; left == 0 {
			break
		}
	}
	if n == 0 {
		return dst[:start], nil
	}
	return append(dst, ']'), nil
}

// inLanguages appends the first of the languages that there is, or all of them.
func (r *run) inLanguages(dst []byte, f *field, p *dgraph.PredicateSchema, uid uint64, all []dgraph.Posting) ([]byte, error) {
	if f.langs[0] == "*" {
		base := strings.TrimSuffix(f.key, "@*")
		for i := range all {
			if all[i].Kind == dgraph.PostingRef {
				continue
			}
			key := base
			if all[i].Lang != "" {
				key += "@" + all[i].Lang
			}
			var err error
			if dst, err = appendValue(appendKey(dst, key), p, uid, all[i].Value); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	for _, lang := range f.langs {
		best := -1
		for i := range all {
			switch {
			case all[i].Kind == dgraph.PostingRef:
			case all[i].Lang == lang && lang != ".", lang == "." && (best < 0 || all[i].Lang == ""):
				best = i
			}
		}
		if best >= 0 {
			return appendValue(appendKey(dst, f.key), p, uid, all[best].Value)
		}
	}
	return dst, nil
}

// appendValue appends a value in the type that the schema has now, if it fits. What has no text
// is null.
func appendValue(dst []byte, p *dgraph.PredicateSchema, uid uint64, v dgraph.Value) ([]byte, error) {
	if v.Type != p.Type {
		if as, err := v.Convert(p.Type); err == nil {
			v = as
		}
	}
	start := len(dst)
	dst, err := v.AppendJSON(dst)
	switch {
	case errors.Is(err, dgraph.ErrNoText):
		return append(dst[:start], "null"...), nil
	case err != nil:
		return dst[:start], fmt.Errorf("%s of %#x: %w", p.Predicate, uid, err)
	}
	return dst, nil
}
