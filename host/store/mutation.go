package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	farm "github.com/dgryski/go-farm"

	"github.com/brock-backup/brock/host/dgraph"
)

// An Edge is one thing that a mutation sets or deletes.
type Edge struct {
	UID       uint64           // the node, not 0
	Predicate dgraph.Predicate // with Name "" only with Star: all that the node's types name
	Object    uint64           // an edge to this node; 0: a value
	Value     dgraph.Value     // is converted to the predicate's type
	Lang      string
	Star      bool // to delete: all of the predicate; with Lang only what is in that language
}

// A Mutation is one transaction: all of it is done or nothing. Deletes come first. A value
// is deleted where it is the one given, and a node's every predicate (Star without a
// name) as Dgraph does it: those that its types name, and dgraph.type.
type Mutation struct {
	Del, Set []Edge

	// StartTs is when the transaction began, if something it touches must not have
	// changed since: then the error is ErrConflict. 0: it does not matter.
	StartTs uint64
}

// Mutate commits m and returns its timestamp. When it returns, m is durable
// and visible. A predicate that is new gets the type of its first value.
func (s *Store) Mutate(ctx context.Context, m Mutation) (commitTs uint64, err error) {
	if s.draining.Load() {
		return 0, ErrDraining // the committer may be waiting for the last reader
	}
	p, err := s.prepare(&m)
	if err != nil {
		return 0, err
	}
	r := &request{ctx: ctx, m: p}
	if err := s.ask(r); err != nil {
		return 0, err
	}
	return r.ts, nil
}

// A prepared mutation has been looked at: its values have the types of the schema.
type prepared struct {
	m      *Mutation
	schema *schema         // that it was prepared with
	banned map[uint64]bool // namespaces
	given  uint64          // the highest uid that was given out, when it was prepared
	maxUID uint64
	hashes int                      // passwords that were hashed
	looks  []listKey                // lists whose content decides on what is written
	nodes  []node                   // likewise, all lists of a node
	fresh  []dgraph.PredicateSchema // predicates that it begins
	keys   []string                 // that it touches, in Badger
	lists  []listKey                // likewise
}

// A node is one of a namespace.
type node struct{ ns, uid uint64 }

// unread are the lists that transactions of a batch change, which no reader sees yet.
type unread struct {
	lists map[listKey]bool
	nodes map[node]bool
}

func (u *unread) add(lists []listKey) {
	if u.lists == nil {
		u.lists, u.nodes = map[listKey]bool{}, map[node]bool{}
	}
	for _, l := range lists {
		u.lists[l] = true
		u.nodes[node{l.Namespace, l.uid}] = true
	}
}

// has reports whether p must see one of them.
func (u *unread) has(p *prepared) bool {
	return slices.ContainsFunc(p.looks, func(l listKey) bool { return u.lists[l] }) ||
		slices.ContainsFunc(p.nodes, func(n node) bool { return u.nodes[n] })
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, a...))
}

// prepare checks m and converts its values.
func (s *Store) prepare(m *Mutation) (*prepared, error) {
	s.mu.RLock()
	p := &prepared{schema: s.schema, banned: s.dbs.banned, given: s.uid}
	s.mu.RUnlock()
	p.m = &Mutation{Del: slices.Clone(m.Del), Set: slices.Clone(m.Set), StartTs: m.StartTs}
	fresh := map[dgraph.Predicate]*dgraph.PredicateSchema{}
	for i := range p.m.Del {
		if err := p.prepareDel(&p.m.Del[i]); err != nil {
			return nil, err
		}
	}
	for i := range p.m.Set {
		if err := p.prepareSet(&p.m.Set[i], fresh); err != nil {
			return nil, err
		}
	}
	p.makeLists(fresh)
	for _, f := range fresh {
		p.fresh = append(p.fresh, *f)
	}
	slices.SortFunc(p.fresh, func(a, b dgraph.PredicateSchema) int { return comparePredicates(a.Predicate, b.Predicate) })
	return p, nil
}

// makeLists makes lists of new predicates that get several values at one node.
func (p *prepared) makeLists(fresh map[dgraph.Predicate]*dgraph.PredicateSchema) {
	if len(fresh) == 0 {
		return
	}
	type place struct {
		dgraph.Predicate
		uid uint64
	}
	first := map[place][]byte{}
	for i := range p.m.Set {
		e := &p.m.Set[i]
		f := fresh[e.Predicate]
		if f == nil || e.Object != 0 || e.Lang != "" {
			continue
		}
		at := place{e.Predicate, e.UID}
		if v, ok := first[at]; ok && !bytes.Equal(v, e.Value.Data) {
			f.List = true
		}
		first[at] = e.Value.Data
	}
}

func (p *prepared) check(e *Edge) error {
	// Beyond maxGiven are those that NewUIDs gave after somebody had named the last one himself.
	if last := max(e.UID, e.Object); e.UID == 0 || last > max(maxGiven, p.given) {
		return invalid("uid %#x: uids are 0x1 to %#x", last, uint64(maxGiven))
	}
	if p.banned[e.Predicate.Namespace] {
		return invalid("namespace %#x has been deleted", e.Predicate.Namespace)
	}
	p.maxUID = max(p.maxUID, e.UID, e.Object)
	if e.Star && e.Predicate.Name == "" {
		return nil
	}
	return checkName(e.Predicate)
}

// maxName is what fits into Badger's longest key together with the rest of it.
const maxName = 60_000

func checkName(p dgraph.Predicate) error {
	switch {
	case p.Name == "" || p.Name == "*" || p.Name == "_predicate_":
		return invalid("%q is no name of a predicate", p.Name)
	case len(p.Name) > maxName:
		return invalid("predicate %.40q... has a name of %d bytes; it can have %d", p.Name, len(p.Name), maxName)
	case p.Reserved() && p.Name != typePredicate:
		return fmt.Errorf("predicate %s: %w: names that begin with dgraph. are the database's own", p.Name, ErrReserved)
	}
	return nil
}

const typePredicate = "dgraph.type"

func (p *prepared) prepareDel(e *Edge) error {
	if err := p.check(e); err != nil {
		return err
	}
	if e.Predicate.Name == "" {
		p.nodes = append(p.nodes, node{e.Predicate.Namespace, e.UID})
		return nil
	}
	su, known := p.schema.predicates[e.Predicate]
	switch {
	case e.Star:
		if len(p.m.Set) > 0 { // see change.postings
			p.looks = append(p.looks, listKey{e.Predicate, e.UID})
		}
		return nil
	case !known:
		return nil
	case (su.Type == dgraph.ValueUID) != (e.Object != 0):
		return wrongKind(e, &su.PredicateSchema)
	case e.Object != 0:
		return nil
	}
	p.looks = append(p.looks, listKey{e.Predicate, e.UID})
	if su.Type == dgraph.ValuePassword {
		return nil // whatever it is
	}
	v, err := asStored(e.Value, su.Type)
	if err != nil {
		return invalid("predicate %s at %#x: %w", e.Predicate.Name, e.UID, err)
	}
	e.Value = v
	return nil
}

func (p *prepared) prepareSet(e *Edge, fresh map[dgraph.Predicate]*dgraph.PredicateSchema) error {
	if err := p.check(e); err != nil {
		return err
	}
	if e.Star {
		return invalid("predicate %s at %#x: * can be deleted, not set", e.Predicate.Name, e.UID)
	}
	state, known := p.schema.predicates[e.Predicate]
	su := state.PredicateSchema
	if !known {
		f := fresh[e.Predicate]
		if f == nil {
			if len(fresh) == maxFresh {
				return invalid("more than %d new predicates: begin them with several mutations", maxFresh)
			}
			f = &dgraph.PredicateSchema{Predicate: e.Predicate, Type: e.Value.Type}
			switch {
			case e.Predicate.Name == typePredicate: // every namespace has its own
				f.Type, f.List, f.Tokenizers = dgraph.ValueString, true, []string{"exact"}
			case e.Object != 0:
				f.Type, f.List = dgraph.ValueUID, true
			}
			fresh[e.Predicate] = f
		}
		f.Lang = f.Lang || e.Lang != ""
		su = dgraph.PredicateSchema{Predicate: f.Predicate, Type: f.Type, List: f.List, Lang: true}
	}
	if (su.Type == dgraph.ValueUID) != (e.Object != 0) {
		return wrongKind(e, &su)
	}
	if e.Object != 0 {
		if !su.List {
			p.looks = append(p.looks, listKey{e.Predicate, e.UID})
		}
		return nil
	}
	if e.Lang != "" && !su.Lang {
		return invalid("Attr: [%s] should have @lang directive in schema to mutate edge: [%#x]", e.Predicate.Name, e.UID)
	}
	if su.Type == dgraph.ValuePassword && e.Value.Type != dgraph.ValuePassword {
		if p.hashes++; p.hashes > MaxPasswords {
			return invalid("more than %d passwords: send them in several mutations", MaxPasswords)
		}
	}
	v, err := asStored(e.Value, su.Type)
	if err != nil {
		return invalid("predicate %s at %#x: %w", e.Predicate.Name, e.UID, err)
	}
	e.Value = v
	return nil
}

// maxFresh is how many predicates a mutation can begin: each takes 2 KB until all are there.
const maxFresh = 100_000

// MaxPasswords is how many passwords a mutation can have: to hash one takes a tenth of a second.
const MaxPasswords = 200

// asStored is a value as a predicate of type t holds it. The default type holds values of
// all types, as they are written.
func asStored(v dgraph.Value, t dgraph.ValueType) (dgraph.Value, error) {
	if t == dgraph.ValueDefault {
		return v, nil
	}
	return v.Convert(t)
}

func wrongKind(e *Edge, su *dgraph.PredicateSchema) error {
	if su.Type == dgraph.ValueUID {
		return invalid("Input for predicate %q of type uid is scalar. Edge: uid %#x", e.Predicate.Name, e.UID)
	}
	return invalid("Input for predicate %q of type scalar is uid. Edge: uid %#x to %#x", e.Predicate.Name, e.UID, e.Object)
}

// fingerprint is the uid of a value in a list, or of a language.
func fingerprint(b []byte) uint64 { return farm.Fingerprint64(b) }

// A listKey is the list that an edge is in.
type listKey struct {
	dgraph.Predicate
	uid uint64
}

// A change is what a mutation does to one list.
type change struct {
	star bool                      // everything older goes
	post map[uint64]dgraph.Posting // then these
}

// renew prepares a mutation again if the schema has changed since.
func (s *Store) renew(p *prepared) error {
	if p.schema == s.schema {
		return nil
	}
	again, err := s.prepare(p.m)
	if err == nil {
		*p = *again
	}
	return err
}

// entries turns a mutation into what Badger gets: one delta for each list.
func (s *Store) entries(p *prepared, ts uint64) ([]entry, error) {
	changes := map[listKey]*change{}
	at := func(pred dgraph.Predicate, uid uint64) *change {
		c := changes[listKey{pred, uid}]
		if c == nil {
			c = &change{post: map[uint64]dgraph.Posting{}}
			changes[listKey{pred, uid}] = c
		}
		return c
	}
	r := s.reader()
	defer r.close()
	for i := range p.m.Del {
		if err := s.del(&p.m.Del[i], r, at); err != nil {
			return nil, err
		}
	}
	types := map[dgraph.Predicate]*dgraph.PredicateSchema{}
	for i := range p.fresh {
		types[p.fresh[i].Predicate] = &p.fresh[i]
	}
	for i := range p.m.Set {
		e := &p.m.Set[i]
		su := types[e.Predicate]
		if su == nil {
			known := s.schema.predicates[e.Predicate].PredicateSchema
			su = &known
			types[e.Predicate] = su
		}
		if err := set(e, su, r, at(e.Predicate, e.UID)); err != nil {
			return nil, err
		}
	}
	groups := s.groupsFor(p.fresh)
	out, err := freshEntries(p.fresh, groups, ts)
	if err != nil {
		return nil, err
	}
	return s.deltas(p, out, changes, groups, r, ts)
}

// del adds one deletion.
func (s *Store) del(e *Edge, r *reader, at func(dgraph.Predicate, uint64) *change) error {
	if e.Predicate.Name == "" {
		preds, err := s.ofNode(r, e.Predicate.Namespace, e.UID)
		for _, pred := range preds {
			*at(pred, e.UID) = change{star: true, post: map[uint64]dgraph.Posting{}}
		}
		return err
	}
	su, known := s.schema.predicates[e.Predicate]
	if !known {
		return nil // there is nothing to delete
	}
	c := at(e.Predicate, e.UID)
	switch {
	case e.Star && e.Lang == "":
		*c = change{star: true, post: map[uint64]dgraph.Posting{}}
	case e.Star:
		uid := fingerprint([]byte(e.Lang))
		c.post[uid] = dgraph.Posting{UID: uid, Kind: dgraph.PostingLang, Lang: e.Lang, Del: true}
	case e.Object != 0:
		c.post[e.Object] = dgraph.Posting{UID: e.Object, Del: true}
	default:
		p := valuePosting(e, &su.PredicateSchema)
		there, ok, err := r.posting(listKey{e.Predicate, e.UID}, p.UID)
		if err != nil {
			return err
		}
		if ok && (su.Type == dgraph.ValuePassword || bytes.Equal(there.Value.Data, p.Value.Data)) {
			p.Del = true
			c.post[p.UID] = p
		}
	}
	return nil
}

// ofNode returns the predicates that the types of a node name.
func (s *Store) ofNode(r *reader, ns, uid uint64) ([]dgraph.Predicate, error) {
	typePred := dgraph.Predicate{Namespace: ns, Name: typePredicate}
	values, err := r.postings(typePred, uid)
	if err != nil || len(values) == 0 {
		return nil, err
	}
	preds := []dgraph.Predicate{typePred}
	for _, v := range values {
		t := s.schema.types[dgraph.Predicate{Namespace: ns, Name: string(v.Value.Data)}]
		for _, f := range t.Fields {
			preds = append(preds, dgraph.Predicate{Namespace: ns, Name: f})
		}
	}
	return slices.DeleteFunc(preds, func(p dgraph.Predicate) bool {
		_, known := s.schema.predicates[p]
		return !known || p.Reserved() && p != typePred
	}), nil
}

// set adds one value or edge.
func set(e *Edge, su *dgraph.PredicateSchema, r *reader, c *change) error {
	if e.Object == 0 {
		p := valuePosting(e, su)
		c.post[p.UID] = p
		return nil
	}
	if !su.List && !c.star {
		there, err := r.postings(e.Predicate, e.UID)
		if err != nil {
			return err
		}
		for _, t := range there {
			c.post[t.UID] = dgraph.Posting{UID: t.UID, Del: true}
		}
	}
	if !su.List {
		for uid, p := range c.post {
			if !p.Del && uid != e.Object {
				delete(c.post, uid) // the last one of a transaction stays
			}
		}
	}
	c.post[e.Object] = dgraph.Posting{UID: e.Object}
	return nil
}

func valuePosting(e *Edge, su *dgraph.PredicateSchema) dgraph.Posting {
	p := dgraph.Posting{UID: dgraph.UntaggedUID, Kind: dgraph.PostingValue, Value: e.Value}
	switch {
	case e.Lang != "":
		p.UID, p.Kind, p.Lang = fingerprint([]byte(e.Lang)), dgraph.PostingLang, e.Lang
	case su.List:
		p.UID = fingerprint(e.Value.Data)
	}
	return p
}

// deltas adds one entry for each list that changes. Groups are those of new predicates.
func (s *Store) deltas(p *prepared, out []entry, changes map[listKey]*change, groups map[dgraph.Predicate]uint32, r *reader, ts uint64) ([]entry, error) {
	p.keys, p.lists = p.keys[:0], p.lists[:0]
	for k, c := range changes {
		group, ok := groups[k.Predicate]
		if !ok {
			group = s.schema.predicates[k.Predicate].Group
		}
		if len(c.post) == 0 && !c.star {
			continue
		}
		postings, err := c.postings(k, r)
		if err != nil {
			return nil, err
		}
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &dgraph.Key{Kind: dgraph.KeyData, Predicate: k.Predicate, UID: k.uid})
		if err != nil {
			return nil, invalid("%w", err)
		}
		p.keys, p.lists = append(p.keys, string(key)), append(p.lists, k)
		out = append(out, entry{
			group: group, key: key, value: dgraph.AppendDelta(nil, postings, max(ts, 1)-1, ts), userMeta: dgraph.MetaDelta, version: ts,
		})
	}
	if p.m.StartTs != 0 && s.touched.since(p.keys, p.m.StartTs) {
		return nil, ErrConflict
	}
	return out, nil
}

// postings are those of the delta. One that deletes all stands where the value without a
// language would: with others beside it, each old posting is deleted on its own.
func (c *change) postings(k listKey, r *reader) ([]dgraph.Posting, error) {
	if c.star && len(c.post) == 0 {
		return []dgraph.Posting{dgraph.All}, nil
	}
	if c.star {
		there, err := r.postings(k.Predicate, k.uid)
		if err != nil {
			return nil, err
		}
		for _, t := range there {
			if _, ok := c.post[t.UID]; !ok {
				t.Del = true
				c.post[t.UID] = t
			}
		}
	}
	out := make([]dgraph.Posting, 0, len(c.post))
	for _, p := range c.post {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b dgraph.Posting) int { return cmp.Compare(a.UID, b.UID) })
	return out, nil
}
