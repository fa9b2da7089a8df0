package nquad

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// maxValues bounds what a body of JSON takes in memory.
const maxValues = 2 * maxQuads

// A tree is one value of JSON, with members in their order.
type tree struct {
	kind     kind
	text     string // of a string or a number
	truth    bool
	keys     []string // of an object
	children []*tree  // of an object or an array
	from, to int      // where it stands
}

type kind uint8

const (
	null kind = iota
	truth
	number
	text
	array
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "an array", "an object"}[k]
}

// member returns the child of an object that key names, or nil.
func (t *tree) member(key string) *tree {
	for i, k := range t.keys {
		if k == key {
			return t.children[i]
		}
	}
	return nil
}

// A treeReader reads a body.
type treeReader struct {
	body   []byte
	in     *json.Decoder
	breaks []int // where lines end
	values int
}

// errorf names the line on which something stands.
func (r *treeReader) errorf(at int, format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %w", ErrSyntax, r.line(at), fmt.Errorf(format, args...))
}

func (r *treeReader) line(at int) int {
	if r.breaks == nil {
		r.breaks = make([]int, 0, 16)
		for i, c := range r.body {
			if c == '\n' {
				r.breaks = append(r.breaks, i)
			}
		}
	}
	n, _ := slices.BinarySearch(r.breaks, at)
	return 1 + n
}

func readTree(body []byte) (*treeReader, *tree, error) {
	r := &treeReader{body: body, in: json.NewDecoder(bytes.NewReader(body))}
	if !utf8.Valid(body) {
		return nil, nil, fmt.Errorf("%w: it is not UTF-8", ErrSyntax)
	}
	r.in.UseNumber()
	token, err := r.in.Token()
	if err != nil {
		return nil, nil, r.broken(err)
	}
	t, err := r.read(token, 0)
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.in.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, r.errorf(t.to, "expected the end after the mutation")
	}
	return r, t, nil
}

func (r *treeReader) broken(err error) error {
	at := int(r.in.InputOffset())
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		at = min(max(int(e.Offset)-1, 0), len(r.body))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.errorf(len(r.body), "JSON ends too early")
	}
	near := bytes.TrimSpace(r.body[at:min(len(r.body), at+64)])
	near, _, _ = bytes.Cut(near, []byte("\n"))
	return r.errorf(at, "JSON: %w, at %q", err, shorten(string(near)))
}

// read reads the value that begins with token.
func (r *treeReader) read(token json.Token, depth int) (*tree, error) {
	t := &tree{from: int(r.in.InputOffset())}
	if r.values++; r.values > maxValues {
		return nil, r.errorf(t.from, "more than %d values: send them in several mutations", maxValues)
	}
	if depth > maxDepth {
		return nil, r.errorf(t.from, "nested deeper than %d", maxDepth)
	}
	switch v := token.(type) {
	case bool:
		t.kind, t.truth = truth, v
	case json.Number:
		t.kind, t.text = number, v.String()
	case string:
		t.kind, t.text = text, v
	case json.Delim:
		t.from--
		t.kind = array
		if v == '{' {
			t.kind = object
		}
		if err := r.children(t, depth); err != nil {
			return nil, err
		}
	}
	t.to = int(r.in.InputOffset())
	return t, nil
}

func (r *treeReader) children(t *tree, depth int) error {
	var seen map[string]bool
	if t.kind == object {
		seen = map[string]bool{}
	}
	for {
		token, err := r.in.Token()
		if err != nil {
			return r.broken(err)
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			return nil
		}
		if t.kind == object {
			key, _ := token.(string)
			if seen[key] {
				return r.errorf(int(r.in.InputOffset()), "%q is there twice", shorten(key))
			}
			seen[key] = true
			t.keys = append(t.keys, key)
			if token, err = r.in.Token(); err != nil {
				return r.broken(err)
			}
		}
		child, err := r.read(token, depth+1)
		if err != nil {
			return err
		}
		t.children = append(t.children, child)
	}
}
