// Package nquad reads mutations as text, as Dgraph takes them: RDF N-Quads and JSON.
//
// Both become a [Request]: quads to set and to delete, whose new nodes are blank until
// their uids are known. What only Dgraph can do, as facets and upserts, is refused and
// not passed over. Every error is [ErrSyntax] and names line and text.
package nquad

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// ErrSyntax means text that is no mutation.
var ErrSyntax = errors.New("invalid mutation")

const (
	maxQuads = 1_000_000 // of a request
	maxDepth = 100       // of objects in objects, in JSON
)

// A Request is what a mutation says.
type Request struct {
	Set, Del []NQuad
}

// An NQuad is an edge or a value of a node.
type NQuad struct {
	Subject   string        // a uid, as "0x1", or a blank node, as "_:name"
	Predicate string        // "" to delete all of the subject, with Star
	Object    string        // like Subject; "" if there is a value
	Value     *dgraph.Value // of the type that is written: without one, ValueDefault in RDF and ValueString in JSON
	Lang      string
	Star      bool // to delete all of the predicate, or what is in a language

	Namespace *uint64 // as its label says; nil without one
	Line      int
}

// Blank returns the names of the blank nodes, without "_:", in their order.
func (r *Request) Blank() []string {
	var names []string
	seen := map[string]bool{}
	for _, q := range r.Set {
		for _, node := range []string{q.Subject, q.Object} {
			if name, ok := strings.CutPrefix(node, "_:"); ok && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// Mutation returns r as a transaction of namespace ns; a quad with a label is in the
// namespace that it names. uid gives each name in [Request.Blank] its uid.
func (r *Request) Mutation(ns uint64, uid func(blank string) uint64) (store.Mutation, error) {
	var m store.Mutation
	var err error
	if m.Del, err = edges(r.Del, ns, uid); err != nil {
		return store.Mutation{}, err
	}
	if m.Set, err = edges(r.Set, ns, uid); err != nil {
		return store.Mutation{}, err
	}
	return m, nil
}

func edges(quads []NQuad, ns uint64, uid func(blank string) uint64) ([]store.Edge, error) {
	if len(quads) == 0 {
		return nil, nil
	}
	node := func(q *NQuad, name string) (uint64, error) {
		u, err := parseUID(name)
		if blank, ok := strings.CutPrefix(name, "_:"); ok && uid != nil {
			u, err = uid(blank), nil
		}
		if err == nil && u == 0 {
			err = errors.New("it has no uid")
		}
		if err != nil {
			return 0, fmt.Errorf("%w: line %d: node %q: %w", ErrSyntax, q.Line, name, err)
		}
		return u, nil
	}
	all := make([]store.Edge, 0, len(quads))
	for i := range quads {
		q := &quads[i]
		e := store.Edge{Predicate: dgraph.Predicate{Namespace: ns, Name: q.Predicate}, Lang: q.Lang, Star: q.Star}
		if q.Namespace != nil {
			e.Predicate.Namespace = *q.Namespace
		}
		var err error
		if e.UID, err = node(q, q.Subject); err != nil {
			return nil, err
		}
		switch {
		case q.Value != nil:
			e.Value = *q.Value
		case !q.Star:
			if e.Object, err = node(q, q.Object); err != nil {
				return nil, err
			}
		}
		all = append(all, e)
	}
	return all, nil
}

// parseUID reads a uid in hex after 0x, or decimal.
func parseUID(text string) (uint64, error) {
	u, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, errors.New("it is no uid, as 0x1 or 1, and no blank node, as _:name")
	}
	if u == 0 {
		return 0, errors.New("a uid is 0x1 or more")
	}
	return u, nil
}

// checkBlank refuses what cannot be a blank node, as _:name.
func checkBlank(text string, del bool) error {
	name := text[2:]
	switch {
	case del:
		return fmt.Errorf("a blank node is new, and cannot be part of what is deleted, got %q", shorten(text))
	case name == "" || len(name) > 4096 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == '"' }):
		return fmt.Errorf("%q is no name of a blank node", shorten(text))
	}
	return nil
}

// checkPredicate refuses what cannot be the name of a predicate in a mutation.
func checkPredicate(name string) error {
	if err := dgraph.CheckName(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "~@") {
		return fmt.Errorf("%w %q: ~ and @ cannot be part of one", dgraph.ErrName, shorten(name))
	}
	return nil
}

// splitLang cuts name@en into both.
func splitLang(text string) (name, lang string, err error) {
	at := strings.LastIndexByte(text, '@')
	if at <= 0 {
		return text, "", checkPredicate(text)
	}
	name, lang = text[:at], text[at+1:]
	if !isLang(lang) {
		return "", "", fmt.Errorf("%q is no language, as en or pt-BR", shorten(lang))
	}
	return name, lang, checkPredicate(name)
}

func isLang(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// checkText refuses the text that would, stored, mean that all is deleted.
func checkText(text string) error {
	if text == "_STAR_ALL" {
		return errors.New(`"_STAR_ALL" cannot be a value: to delete all values write *, or null in JSON`)
	}
	return nil
}

// shorten cuts text for an error.
func shorten(text string) string {
	const longest = 40
	if r := []rune(text[:min(len(text), 4*longest+4)]); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return text
}
