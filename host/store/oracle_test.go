package store_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dgryski/go-farm"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// An oracle is what a database must hold: a model in memory that shares no code with
// the store.
type oracle struct {
	preds   map[dgraph.Predicate]*oraclePredicate
	types   map[dgraph.Predicate][]string
	records map[dgraph.Predicate][]string // values under dgraph.drop.op, by namespace; nil: not known
}

// An oraclePredicate is a predicate and what every node has of it, by the uid of the
// posting.
type oraclePredicate struct {
	schema dgraph.PredicateSchema
	group  uint32 // 0: the store has not been asked yet
	nodes  map[uint64]map[uint64]dgraph.Posting
}

func newOracle() *oracle {
	return &oracle{
		preds: map[dgraph.Predicate]*oraclePredicate{}, types: map[dgraph.Predicate][]string{},
		records: map[dgraph.Predicate][]string{},
	}
}

func (o *oracle) clone() *oracle {
	c := &oracle{preds: map[dgraph.Predicate]*oraclePredicate{}, types: maps.Clone(o.types), records: maps.Clone(o.records)}
	for name, values := range c.records {
		c.records[name] = slices.Clone(values)
	}
	for name, p := range o.preds {
		q := &oraclePredicate{schema: p.schema, group: p.group, nodes: map[uint64]map[uint64]dgraph.Posting{}}
		for uid, list := range p.nodes {
			q.nodes[uid] = maps.Clone(list)
		}
		c.preds[name] = q
	}
	return c
}

const (
	typePredicate = "dgraph.type"
	starAll       = "_STAR_ALL"
)

// apply does what a mutation does: deletes first, and what a node's types are is asked
// before.
func (o *oracle) apply(m store.Mutation) {
	var del []store.Edge
	for _, e := range m.Del {
		if e.Predicate.Name == "" {
			del = append(del, o.expand(e)...)
		} else {
			del = append(del, e)
		}
	}
	for _, e := range del {
		o.del(e)
	}
	for _, p := range o.implied(m) {
		o.add(p)
	}
	for _, e := range m.Set {
		o.set(e)
	}
}

// expand says what a delete of all that the node's types name is.
func (o *oracle) expand(e store.Edge) (all []store.Edge) {
	ns := e.Predicate.Namespace
	one := func(name string) {
		all = append(all, store.Edge{UID: e.UID, Predicate: dgraph.Predicate{Namespace: ns, Name: name}, Star: true})
	}
	for _, p := range o.list(dgraph.Predicate{Namespace: ns, Name: typePredicate}, e.UID) {
		for _, field := range o.types[dgraph.Predicate{Namespace: ns, Name: string(p.Value.Data)}] {
			one(field)
		}
	}
	one(typePredicate)
	return all
}

func (o *oracle) list(p dgraph.Predicate, uid uint64) map[uint64]dgraph.Posting {
	if pred := o.preds[p]; pred != nil {
		return pred.nodes[uid]
	}
	return nil
}

func (o *oracle) del(e store.Edge) {
	pred := o.preds[e.Predicate]
	if pred == nil {
		return
	}
	list := pred.nodes[e.UID]
	switch {
	case e.Star && e.Lang == "":
		clear(list)
	case e.Star:
		delete(list, farm.Fingerprint64([]byte(e.Lang)))
	case e.Object != 0:
		delete(list, e.Object)
	default:
		p := pred.posting(e)
		if there, ok := list[p.UID]; ok && string(there.Value.Data) == string(p.Value.Data) {
			delete(list, p.UID)
		}
	}
	if len(list) == 0 {
		delete(pred.nodes, e.UID)
	}
}

func (o *oracle) set(e store.Edge) {
	pred := o.preds[e.Predicate]
	p := pred.posting(e)
	if pred.nodes[e.UID] == nil {
		pred.nodes[e.UID] = map[uint64]dgraph.Posting{}
	}
	if pred.schema.Type == dgraph.ValueUID && !pred.schema.List {
		clear(pred.nodes[e.UID])
	}
	pred.nodes[e.UID][p.UID] = p
}

// implied are the schemas of predicates that m writes before anybody has described them. A
// value makes a scalar, several at one node a list, an edge a list of edges.
func (o *oracle) implied(m store.Mutation) map[dgraph.Predicate]dgraph.PredicateSchema {
	all := map[dgraph.Predicate]dgraph.PredicateSchema{}
	values := map[string]string{}
	for _, e := range m.Set {
		if o.preds[e.Predicate] != nil {
			continue
		}
		s, known := all[e.Predicate]
		if !known {
			s = dgraph.PredicateSchema{Predicate: e.Predicate, Type: e.Value.Type}
		}
		node := nodeName(e.Predicate, e.UID)
		switch {
		case e.Predicate.Name == typePredicate:
			s.Type, s.List = dgraph.ValueString, true
		case e.Object != 0:
			s.Type, s.List = dgraph.ValueUID, true
		case e.Lang != "":
			s.Lang = true
		default:
			if v, ok := values[node]; ok && v != string(e.Value.Data) {
				s.List = true
			}
			values[node] = string(e.Value.Data)
		}
		all[e.Predicate] = s
	}
	return all
}

func (o *oracle) add(s dgraph.PredicateSchema) *oraclePredicate {
	p := o.preds[s.Predicate]
	if p == nil {
		p = &oraclePredicate{nodes: map[uint64]map[uint64]dgraph.Posting{}}
		o.preds[s.Predicate] = p
	}
	p.schema = s
	return p
}

// alter describes a predicate. The values of one that becomes a list stay.
func (o *oracle) alter(s dgraph.PredicateSchema) {
	was := o.preds[s.Predicate]
	toList := was != nil && !was.schema.List && s.List && s.Type != dgraph.ValueUID
	p := o.add(s)
	for _, list := range p.nodes {
		if v, ok := list[dgraph.UntaggedUID]; ok && toList {
			delete(list, dgraph.UntaggedUID)
			v.UID = farm.Fingerprint64(v.Value.Data)
			list[v.UID] = v
		}
	}
}

// posting is what e sets.
func (p *oraclePredicate) posting(e store.Edge) dgraph.Posting {
	if e.Object != 0 {
		return dgraph.Posting{UID: e.Object}
	}
	v := converted(e.Value, p.schema.Type)
	switch {
	case e.Lang != "":
		return dgraph.Posting{UID: farm.Fingerprint64([]byte(e.Lang)), Kind: dgraph.PostingLang, Value: v, Lang: e.Lang}
	case p.schema.List:
		return dgraph.Posting{UID: farm.Fingerprint64(v.Data), Kind: dgraph.PostingValue, Value: v}
	}
	return dgraph.Posting{UID: dgraph.UntaggedUID, Kind: dgraph.PostingValue, Value: v}
}

// converted knows the few conversions that these tests make use of.
func converted(v dgraph.Value, to dgraph.ValueType) dgraph.Value {
	if v.Type == to || to == dgraph.ValueDefault {
		return v
	}
	text := v.Type == dgraph.ValueDefault || v.Type == dgraph.ValueString
	switch {
	case text && to == dgraph.ValueString:
		return dgraph.Value{Type: to, Data: v.Data}
	case text && to == dgraph.ValueInt:
		n, err := strconv.ParseInt(string(v.Data), 10, 64)
		if err == nil {
			return intValue(n)
		}
	case text && to == dgraph.ValueFloat:
		f, err := strconv.ParseFloat(string(v.Data), 64)
		if err == nil {
			return floatValue(f)
		}
	case v.Type == dgraph.ValueInt && to == dgraph.ValueFloat:
		return floatValue(float64(int64(uintOf(v))))
	case v.Type == dgraph.ValueInt && to == dgraph.ValueString:
		return stringValue(strconv.FormatInt(int64(uintOf(v)), 10))
	}
	panic(fmt.Sprintf("the oracle cannot convert %q of type %d to %d", v.Data, v.Type, to))
}

func stringValue(s string) dgraph.Value {
	return dgraph.Value{Type: dgraph.ValueString, Data: []byte(s)}
}

func textValue(s string) dgraph.Value {
	return dgraph.Value{Type: dgraph.ValueDefault, Data: []byte(s)}
}

func intValue(n int64) dgraph.Value {
	return dgraph.Value{Type: dgraph.ValueInt, Data: binary.LittleEndian.AppendUint64(nil, uint64(n))}
}

func uintOf(v dgraph.Value) uint64 { return binary.LittleEndian.Uint64(v.Data) }

func floatValue(f float64) dgraph.Value {
	return dgraph.Value{Type: dgraph.ValueFloat, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))}
}

// record is what a drop leaves, in Dgraph's words.
func (o *oracle) record(ns uint64, value string) {
	if o.records == nil {
		return
	}
	at := dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}
	o.records[at] = append(o.records[at], value)
}

func (o *oracle) dropAll() {
	clear(o.preds)
	clear(o.types)
	o.records = map[dgraph.Predicate][]string{}
	o.record(0, "DROP_ALL;")
}

func (o *oracle) dropData(ns uint64) {
	for name, p := range o.preds {
		if name.Namespace == ns {
			clear(p.nodes)
		}
	}
	// The records of the namespace go with its data, unless they tell of more than that.
	at := dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate}
	if o.records != nil {
		o.records[at] = slices.DeleteFunc(o.records[at], func(r string) bool {
			return !strings.HasPrefix(r, "DROP_ALL;") && !strings.HasPrefix(r, "DROP_NS;")
		})
	}
	o.record(ns, fmt.Sprintf("DROP_DATA;0x%x", ns))
}

func (o *oracle) dropAttr(p dgraph.Predicate) {
	delete(o.preds, p)
	o.record(p.Namespace, fmt.Sprintf("DROP_ATTR;%x-%s", p.Namespace, p.Name))
}

func (o *oracle) dropNamespace(ns uint64) {
	maps.DeleteFunc(o.preds, func(p dgraph.Predicate, _ *oraclePredicate) bool { return p.Namespace == ns })
	maps.DeleteFunc(o.types, func(p dgraph.Predicate, _ []string) bool { return p.Namespace == ns })
	delete(o.records, dgraph.Predicate{Namespace: ns, Name: dgraph.DropPredicate})
	o.record(0, fmt.Sprintf("DROP_NS;0x%x", ns))
}

// A state is what a database holds, as text by name: "0-name 0x1", "schema 0-name",
// "type 0-Person", in a database on disk behind the number of the group.
type state map[string]string

// data is the state of data alone.
func (o *oracle) data() state {
	s := state{}
	for name, p := range o.preds {
		for uid, list := range p.nodes {
			s[nodeName(name, uid)] = listText(slices.Collect(maps.Values(list)))
		}
	}
	return s
}

// onDisk is the whole state, by group.
func (o *oracle) onDisk(groups []uint32) state {
	s := state{}
	for name, p := range o.preds {
		group := fmt.Sprintf("g%d ", p.group)
		for uid, list := range p.nodes {
			s[group+nodeName(name, uid)] = listText(slices.Collect(maps.Values(list)))
		}
		if !name.Reserved() {
			s[group+"schema "+name.String()] = schemaText(p.schema)
		}
	}
	for _, g := range groups {
		for name, fields := range o.types {
			s[fmt.Sprintf("g%d type %s", g, name)] = strings.Join(fields, " ")
		}
	}
	return s
}

func nodeName(p dgraph.Predicate, uid uint64) string { return fmt.Sprintf("%s %#x", p, uid) }

// listText is a list for comparisons.
func listText(list []dgraph.Posting) string {
	slices.SortFunc(list, func(a, b dgraph.Posting) int {
		if a.UID < b.UID {
			return -1
		}
		return 1
	})
	var b strings.Builder
	for _, p := range list {
		switch p.Kind {
		case dgraph.PostingRef:
			fmt.Fprintf(&b, "<%#x>", p.UID)
		default:
			fmt.Fprintf(&b, "%x:%d%q@%s", p.UID, p.Value.Type, p.Value.Data, p.Lang)
		}
		if p.Facets > 0 {
			fmt.Fprintf(&b, "(%d facets)", p.Facets)
		}
		if p.Del {
			b.WriteString(" deleted")
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func schemaText(s dgraph.PredicateSchema) string {
	return fmt.Sprintf("type %d list %t lang %t reverse %t count %t upsert %t unique %t noconflict %t %q %q",
		s.Type, s.List, s.Lang, s.Reverse, s.Count, s.Upsert, s.Unique, s.NoConflict, s.Tokenizers, s.Vector)
}

// differences names at most six things in which got is not want.
func differences(got, want state) (all []string) {
	names := map[string]bool{}
	for n := range got {
		names[n] = true
	}
	for n := range want {
		names[n] = true
	}
	more := 0
	for _, n := range slices.Sorted(maps.Keys(names)) {
		g, inGot := got[n]
		w, inWant := want[n]
		switch {
		case g == w && inGot == inWant:
		case len(all) == 6:
			more++
		default:
			all = append(all, fmt.Sprintf("%s\n got %s\nwant %s", n, shown(g, inGot), shown(w, inWant)))
		}
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return all
}

func shown(s string, ok bool) string {
	switch {
	case !ok:
		return "nothing"
	case len(s) > 400:
		return s[:400] + "..."
	}
	return s
}
