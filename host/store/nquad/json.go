package nquad

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// ParseJSON reads a body of JSON:
//
//	{
//		"set": [{"uid": "_:a", "name@en": "Alice", "age": 38, "friend": [{"uid": "0x2"}]}],
//		"delete": [{"uid": "0x1", "name": null}, {"uid": "0x3"}]
//	}
//
// An object without a uid is a new node, whose name begins with "dg.". With "namespace" it is
// in that one, and so are those in it. To delete, null, "" and false alone stand for all values
// of a predicate, and an object with nothing but a uid for all of the node.
func ParseJSON(body []byte) (*Request, error) {
	r, top, err := readTree(body)
	if err != nil {
		return nil, err
	}
	if top.kind != object {
		return nil, r.errorf(top.from, `expected {"set": ...} or {"delete": ...}, got %s`, top.kind)
	}
	b := &jsonBuilder{treeReader: r, prefix: unusedPrefix(body)}
	for i, key := range top.keys {
		child := top.children[i]
		switch key {
		case "set", "delete":
			b.del = key == "delete"
			if err := b.nodes(child); err != nil {
				return nil, err
			}
		case "query", "cond", "mutations":
			if child.kind != null && (child.kind != text || child.text != "") {
				return nil, r.errorf(child.from, "%q belongs to an upsert, and those are not supported: query first, and send set and delete alone", key)
			}
		default:
			return nil, r.errorf(child.from, `expected "set" or "delete", got %q: put it into {"set": {...}}`, shorten(key))
		}
	}
	return &b.request, nil
}

// unusedPrefix begins the names of new nodes, and none in body.
func unusedPrefix(body []byte) string {
	for k := 0; ; k++ {
		prefix := "dg." + strconv.Itoa(k) + "."
		if !strings.Contains(string(body), prefix) {
			return prefix
		}
	}
}

type jsonBuilder struct {
	*treeReader
	request Request
	del     bool
	prefix  string
	blanks  int
}

// add adds a quad of what stands at t.
func (b *jsonBuilder) add(t *tree, q NQuad) error {
	if len(b.request.Set)+len(b.request.Del) >= maxQuads {
		return b.errorf(t.from, "more than %d quads: send them in several mutations", maxQuads)
	}
	q.Line = b.line(t.from)
	if b.del {
		b.request.Del = append(b.request.Del, q)
	} else {
		b.request.Set = append(b.request.Set, q)
	}
	return nil
}

// nodes reads what "set" or "delete" is: an object, an array of them, or nothing.
func (b *jsonBuilder) nodes(t *tree) error {
	switch t.kind {
	case null:
		return nil
	case array:
		for _, child := range t.children {
			if child.kind != object {
				return b.errorf(child.from, "expected an object, got %s", child.kind)
			}
			if err := b.nodes(child); err != nil {
				return err
			}
		}
		return nil
	case object:
		uid, err := b.uid(t)
		switch {
		case err != nil:
			return err
		case b.del && len(t.keys) == 1:
			return b.add(t, NQuad{Subject: uid, Star: true})
		}
		return b.members(uid, t, nil)
	}
	return b.errorf(t.from, "expected an object or an array of them, got %s", t.kind)
}

// members reads what the node uid has, in namespace ns unless it says another one.
func (b *jsonBuilder) members(uid string, t *tree, ns *uint64) error {
	if v := t.member("namespace"); v != nil && v.kind != null {
		n, err := strconv.ParseUint(v.text, 0, 64)
		if err != nil || v.kind != text && v.kind != number {
			return b.errorf(v.from, `"namespace" is that of the object, as "0x1", and no predicate`)
		}
		ns = &n
	}
	for i, key := range t.keys {
		if key == "uid" || key == "namespace" {
			continue
		}
		if err := b.member(NQuad{Subject: uid, Namespace: ns}, key, t.children[i]); err != nil {
			return err
		}
	}
	return nil
}

// uid returns what names the node t.
func (b *jsonBuilder) uid(t *tree) (string, error) {
	v := t.member("uid")
	switch {
	case v == nil || v.kind == null || v.kind == text && v.text == "":
		if b.del {
			return "", b.errorf(t.from, "the uid is missing, and must be there to delete: %s", b.excerpt(t))
		}
		b.blanks++
		return "_:" + b.prefix + strconv.Itoa(b.blanks), nil
	case v.kind != text && v.kind != number:
		return "", b.errorf(v.from, "a uid is a string, got %s", v.kind)
	case strings.HasPrefix(v.text, "_:"):
		return v.text, b.checkBlank(v)
	case strings.HasPrefix(v.text, "uid("):
		return "", b.errorf(v.from, "uid(...) is not supported, for it needs an upsert block, got %q", shorten(v.text))
	}
	u, err := parseUID(v.text)
	if err != nil {
		return "", b.errorf(v.from, "the uid %q: %w", shorten(v.text), err)
	}
	return "0x" + strconv.FormatUint(u, 16), nil
}

func (b *jsonBuilder) checkBlank(v *tree) error {
	if err := checkBlank(v.text, b.del); err != nil {
		return b.errorf(v.from, "%w", err)
	}
	if strings.HasPrefix(v.text[2:], b.prefix) {
		return b.errorf(v.from, "%q is taken for nodes without a uid", shorten(v.text)) // written with an escape
	}
	return nil
}

// excerpt is the text of t, for an error.
func (b *jsonBuilder) excerpt(t *tree) string {
	return strconv.Quote(shorten(strings.Join(strings.Fields(string(b.body[t.from:min(t.to, t.from+160)])), " ")))
}

// member reads what the node of q has under key.
func (b *jsonBuilder) member(q NQuad, key string, v *tree) (err error) {
	if strings.Contains(key, "|") {
		return b.errorf(v.from, "facets are not supported: leave out %q", shorten(key))
	}
	if q.Predicate, q.Lang, err = splitLang(key); err != nil {
		return b.errorf(v.from, "the predicate %q: %w", shorten(key), err)
	}
	switch v.kind {
	case null:
		if !b.del {
			return nil
		}
		q.Star = true
		return b.add(v, q)
	case array:
		for _, child := range v.children {
			switch child.kind {
			case null:
				continue
			case array:
				return b.errorf(child.from, "%q has an array in an array", shorten(key))
			}
			if err := b.value(q, child); err != nil {
				return err
			}
		}
		return nil
	case object:
		if len(v.keys) == 0 {
			return nil // a client's struct that holds nothing
		}
	}
	if b.del && (v.kind == text && v.text == "" || v.kind == truth && !v.truth) {
		q.Star = true // as Dgraph does, for clients whose structs hold what is unset
		return b.add(v, q)
	}
	return b.value(q, v)
}

// value adds q with the value or the node that t is.
func (b *jsonBuilder) value(q NQuad, t *tree) error {
	if t.kind == object && !isGeo(t) {
		if q.Lang != "" {
			return b.errorf(t.from, "%q: an edge has no language", shorten(q.Predicate+"@"+q.Lang))
		}
		uid, err := b.uid(t)
		if err != nil {
			return err
		}
		q.Object = uid
		if err := b.add(t, q); err != nil {
			return err
		}
		return b.members(uid, t, q.Namespace)
	}
	v, err := b.scalar(t)
	if err != nil {
		return b.errorf(t.from, "%q: %w", shorten(q.Predicate), err)
	}
	q.Value = &v
	return b.add(t, q)
}

var variable = regexp.MustCompile(`^(val|uid)\(\s*\w+\s*\)$`)

// scalar returns the value that t is.
func (b *jsonBuilder) scalar(t *tree) (dgraph.Value, error) {
	switch t.kind {
	case text:
		if variable.MatchString(t.text) {
			return dgraph.Value{}, fmt.Errorf("%s is not supported, for it needs an upsert block", t.text)
		}
		if err := checkText(t.text); err != nil {
			return dgraph.Value{}, err
		}
		return dgraph.ParseValue(dgraph.ValueString, t.text)
	case number:
		if strings.ContainsAny(t.text, ".eE") {
			return dgraph.ParseValue(dgraph.ValueFloat, t.text)
		}
		return dgraph.ParseValue(dgraph.ValueInt, t.text)
	case truth:
		return dgraph.ParseValue(dgraph.ValueBool, strconv.FormatBool(t.truth))
	case object:
		return dgraph.ParseValue(dgraph.ValueGeo, string(b.body[t.from:t.to]))
	}
	return dgraph.Value{}, errors.New("no value")
}

// isGeo reports whether an object is GeoJSON, and no node.
func isGeo(t *tree) bool {
	of := t.member("type")
	if of == nil || of.kind != text {
		return false
	}
	at := "coordinates"
	switch of.text {
	case "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon":
	case "GeometryCollection":
		at = "geometries"
	default:
		return false
	}
	v := t.member(at)
	return v != nil && v.kind == array
}
