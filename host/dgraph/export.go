package dgraph

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// An Exporter writes the state of a database as text: the text that Dgraph's
// own export gives for the same state, byte for byte.
//
// AddSchema and AddType come first and AppendSchema after them, from one goroutine.
// AppendRDF and AppendJSON keep nothing between calls and may be called by many
// goroutines at once.
//
// # RDF
//
// One value or edge is one line. In form V20 there is no namespace:
//
//	<0x1> <name> "Alice"^^<xs:string> <0x0> .
//	<0x1> <name> "Алиса"@ru <0x0> .
//	<0x1> <blob> "no datatype: the default type" <0x0> .
//	<0x1> <knows> <0x2> <0x0> (close=true,since=2006-01-02T15:04:05Z,via="work") .
//
// Strings are escaped as in JSON. Names, languages and the keys of facets stand as
// they are. Trailing zero bytes of a text are cut off, and big floats have ten digits.
//
// # What an export leaves out
//
// Reverse edges and indices; lists that are empty; the predicates that Dgraph keeps
// its GraphQL schema, persisted queries and drop records in, and the type of the
// node that they belong to; from form V23 on the graphs of vector indices;
// and what has no text form, see [ErrNoText]. Other reserved predicates, as those of
// access control, are there.
type Exporter struct {
	form         Form
	shortEscapes bool
	schema       map[Predicate]string
	types        []typeText
}

// NewExporter returns an exporter that writes as the versions of form f do.
func NewExporter(f Form) *Exporter {
	return &Exporter{form: f, shortEscapes: f == FormV23, schema: map[Predicate]string{}}
}

// AppendRDF appends the lines of the list at k, and nothing if k is no KeyData. An
// error that is [ErrNoText] is about some values only: all others, and all that
// Dgraph would write, are in what it returns. After any other error that is dst.
func (x *Exporter) AppendRDF(dst []byte, k *Key, backupList []byte) ([]byte, error) {
	return x.appendList(dst, k, backupList, x.appendQuad)
}

// appendList has write append every posting of the list that is exported.
func (x *Exporter) appendList(dst []byte, k *Key, backupList []byte, write func(dst []byte, k *Key, p *post) ([]byte, error)) ([]byte, error) {
	if k.Kind != KeyData || x.hides(k) {
		return dst, nil
	}
	if x.form == FormV20 && k.Namespace != 0 {
		return dst, fmt.Errorf("%w %s: %s is in namespace %#x, and Dgraph 20 has none", ErrForm, x.form, k.Predicate, k.Namespace)
	}
	var r postReader
	if err := parseList(backupList, &r.list); err != nil {
		return dst, fmt.Errorf("%s at %#x: %w", k.Predicate, k.UID, err)
	}
	if k.Name == typePredicate && r.onlyValueIs(graphQLType) {
		return dst, nil
	}
	start := len(dst)
	var lost error // the first value without a text form
	for {
		p, ok, err := r.next()
		if err != nil {
			return dst[:start], fmt.Errorf("%s at %#x: %w", k.Predicate, k.UID, err)
		}
		if !ok {
			return dst, lost
		}
		if dst, err = write(dst, k, p); err != nil && lost == nil {
			lost = fmt.Errorf("%s at %#x: %w", k.Predicate, k.UID, err)
		}
	}
}

const (
	typePredicate = "dgraph.type"
	graphQLType   = "dgraph.graphql"
)

// hides reports whether no export shows the predicate of k.
func (x *Exporter) hides(k *Key) bool {
	if k.Reserved() {
		switch k.Name {
		case "dgraph.graphql.schema", "dgraph.graphql.xid", "dgraph.graphql.p_query", "dgraph.graphql.p_sha256hash",
			"dgraph.graphql.schema_history", "dgraph.graphql.schema_created_at", "dgraph.cors", "dgraph.drop.op":
			return true
		}
		return false
	}
	return k.Name == "_predicate_" || x.form == FormV23 && strings.Contains(k.Name, "__vector_")
}

// appendQuad appends the line of one posting. Without a text form for the value there
// is no line; a facet without one is missing from it.
func (x *Exporter) appendQuad(dst []byte, k *Key, p *post) ([]byte, error) {
	start := len(dst)
	dst = appendUID(append(dst, '<'), k.UID)
	dst = append(dst, "> <"...)
	dst = append(dst, k.Name...)
	dst = append(dst, "> "...)
	if p.kind == kindRef {
		dst = append(appendUID(append(dst, '<'), p.uid), '>')
	} else {
		t, err := p.valueType()
		if err != nil {
			return dst[:start], err
		}
		if dst, err = appendQuoted(dst, t, p.value, x.shortEscapes); err != nil {
			return dst[:start], err
		}
		if p.kind == kindLang {
			dst = append(append(dst, '@'), p.lang...)
		} else if datatype := t.rdf(); datatype != "" {
			dst = append(dst, "^^<"...)
			dst = append(dst, datatype...)
			dst = append(dst, '>')
		}
	}
	if x.form != FormV20 {
		dst = append(appendUID(append(dst, " <"...), k.Namespace), '>')
	}
	var lost error
	before := " ("
	for f := range p.facets() {
		n := len(dst)
		dst = append(dst, before...)
		dst = append(dst, f.key...)
		dst = append(dst, '=')
		var err error
		if dst, err = f.appendValue(dst, f.valueType == ValueString, x.shortEscapes); err != nil {
			dst, lost = dst[:n], err
			continue
		}
		before = ","
	}
	if before == "," {
		dst = append(dst, ')')
	}
	return append(dst, " .\n"...), lost
}

// appendUID appends a uid or a namespace.
func appendUID(dst []byte, u uint64) []byte {
	return strconv.AppendUint(append(dst, "0x"...), u, 16)
}

// Kinds of postings: pb.Posting's posting_type.
const (
	kindRef  = 0 // an edge to a uid
	kindLang = 2 // a value in a language; 1 is any other value
)

// valueType returns the type of a posting's value.
func (p *post) valueType() (t ValueType, err error) {
	err = p.eachField(func(f *field) bool {
		if f.is(3, protowire.VarintType) {
			t = ValueType(f.u)
		}
		return true
	})
	return t, err
}

// eachField calls do with the fields of p until it returns false.
func (p *post) eachField(do func(f *field) bool) error {
	var f field
	if p.raw == nil {
		return nil
	}
	if _, err := nextField(p.raw, &f); err != nil {
		return err
	}
	for msg := f.b; len(msg) > 0; {
		var err error
		if msg, err = nextField(msg, &f); err != nil {
			return err
		}
		if !do(&f) {
			return nil
		}
	}
	return nil
}

// A facet is a named value on an edge or a value.
type facet struct {
	key       []byte
	valueType ValueType
	value     []byte
	bad       bool
}

// facets yields the facets of p in their order.
func (p *post) facets() iter.Seq[*facet] {
	return func(yield func(*facet) bool) {
		if !p.more {
			return
		}
		// nextPost has walked the same fields: what they hold can be damaged, not they.
		_ = p.eachField(func(f *field) bool {
			if !f.is(postFacets, protowire.BytesType) {
				return true
			}
			var one facet
			one.parse(f.b)
			return yield(&one)
		})
	}
}

func (c *facet) parse(raw []byte) {
	c.valueType = ValueString
	for f := (field{}); len(raw) > 0; {
		rest, err := nextField(raw, &f)
		if err != nil {
			c.bad = true
			return
		}
		switch raw = rest; {
		case f.is(1, protowire.BytesType):
			c.key = f.b
		case f.is(2, protowire.BytesType):
			c.value = f.b
		case f.is(3, protowire.VarintType):
			// Facets number their types in their own way.
			own := [...]ValueType{ValueString, ValueInt, ValueFloat, ValueBool, ValueDatetime}
			if c.bad = f.u >= uint64(len(own)); !c.bad {
				c.valueType = own[f.u]
			}
		}
	}
}

// appendValue appends the text of c, as a JSON string if quoted is true. Unlike
// in a value, zero bytes at the end of a string stay.
func (c *facet) appendValue(dst []byte, quoted, shortEscapes bool) ([]byte, error) {
	v := c.value
	switch {
	case c.bad:
		return dst, fmt.Errorf("facet %q: %w", c.key, ErrNoText)
	case c.valueType == ValueString:
		return appendString(dst, v, shortEscapes), nil
	case c.valueType == ValueBool && len(v) == 0:
		v = []byte{0}
	}
	var err error
	if quoted {
		dst, err = appendQuoted(dst, c.valueType, v, shortEscapes)
	} else {
		dst, err = appendPlain(dst, c.valueType, v)
	}
	if err != nil {
		err = fmt.Errorf("facet %q: %w", c.key, err)
	}
	return dst, err
}

// A postReader walks a list: its uids in their order, each with its posting
// where it has one.
type postReader struct {
	list
	p    post
	edge post // of a uid without a posting
}

// next returns the posting of the next uid; ok is false after the last one. It is valid until
// the next call.
func (r *postReader) next() (p *post, ok bool, err error) {
	uid, ok, err := r.uids.next()
	if err != nil || !ok {
		return nil, false, err
	}
	for len(r.postings) > 0 && (r.p.raw == nil || r.p.uid < uid) {
		if r.postings, err = nextPost(r.postings, &r.p); err != nil {
			return nil, false, err
		}
	}
	if r.p.raw != nil && r.p.uid == uid {
		return &r.p, true, nil
	}
	r.edge.uid = uid
	return &r.edge, true, nil
}

// onlyValueIs reports whether the list holds one value, and this one.
func (r *postReader) onlyValueIs(value string) bool {
	probe := *r
	p, ok, err := probe.next()
	if err != nil || !ok || p.kind == kindRef || string(p.value) != value {
		return false
	}
	_, more, err := probe.next()
	return err == nil && !more
}
