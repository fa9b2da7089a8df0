package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// Bounds of what is read. Real manifests stay far below them: one backup of 10,000
// predicates takes about 300 KiB.
const (
	MaxMasterSize = 256 << 20 // bytes of a master manifest
	MaxSingleSize = 64 << 20  // bytes of one backup's manifest
	MaxRecordSize = 64 << 20  // bytes of a commit record

	maxMemory = 1 << 30 // bytes that a document may take once it is read
	maxDepth  = 32      // arrays and objects within each other
	maxName   = 65_535  // bytes of a predicate's name: Badger's keys end there
	maxText   = 1024    // bytes of a path, an ID or any other text
)

// A reader reads JSON as strictly as nobody who writes manifests will notice:
// a key that comes twice, a number that is not a whole one and text behind
// the end are errors. null stands for nothing everywhere.
type reader struct {
	dec    *json.Decoder
	names  map[string]string // predicates come again in every backup
	memory int               // bytes taken so far
}

func newReader(data []byte, limit int) (*reader, error) {
	if len(data) > limit {
		return nil, corrupt("%d bytes, of which at most %d are allowed", len(data), limit)
	}
	if !utf8.Valid(data) {
		return nil, corrupt("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return &reader{dec: dec, names: map[string]string{}}, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

func newer(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNewer}, args...)...)
}

// quote shows hostile text.
func quote(s string) string {
	if len(s) > 80 {
		return strconv.Quote(s[:80]) + fmt.Sprintf(" ... (%d bytes)", len(s))
	}
	return strconv.Quote(s)
}

// take accounts for memory that what is read will occupy.
func (r *reader) take(n int) error {
	if r.memory += n; r.memory > maxMemory {
		return corrupt("it lists more than %d MiB of memory can hold", maxMemory>>20)
	}
	return nil
}

func (r *reader) token() (json.Token, error) {
	t, err := r.dec.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, corrupt("it ends in the middle")
	case err != nil:
		return nil, corrupt("not JSON at byte %d: %w", r.dec.InputOffset(), err)
	}
	return t, nil
}

// end makes sure that nothing follows.
func (r *reader) end() error {
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return corrupt("something follows its end, at byte %d", r.dec.InputOffset())
	}
	return nil
}

// object calls field for every key of an object; field must read the value.
func (r *reader) object(field func(key string) error) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return unexpected("an object", t)
	}
	seen := map[string]bool{}
	for {
		t, err := r.token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok { // the closing brace: the decoder lets nothing else through
			return nil
		}
		if seen[key] {
			return corrupt("key %s comes twice", quote(key))
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
}

// array calls element for every element of an array; element must read it.
func (r *reader) array(element func(i int) error) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return unexpected("a list", t)
	}
	for i := 0; r.dec.More(); i++ {
		if err := element(i); err != nil {
			return err
		}
	}
	_, err = r.token()
	return err
}

// text reads a string of at most limit bytes into s.
func (r *reader) text(s *string, limit int) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	text, ok := t.(string)
	if !ok {
		return unexpected("text", t)
	}
	if len(text) > limit {
		return corrupt("text %s is longer than %d bytes", quote(text), limit)
	}
	*s = text
	return r.take(len(text))
}

// name reads a predicate, which costs memory only when it is new.
func (r *reader) name() (string, error) {
	t, err := r.token()
	if err != nil {
		return "", err
	}
	text, ok := t.(string)
	if !ok {
		return "", unexpected("a name", t)
	}
	if known, ok := r.names[text]; ok {
		return known, nil
	}
	if len(text) > maxName {
		return "", corrupt("name %s is longer than %d bytes", quote(text), maxName)
	}
	r.names[text] = text
	return text, r.take(len(text) + 64)
}

func (r *reader) number(n *uint64) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	number, ok := t.(json.Number)
	if !ok {
		return unexpected("a number", t)
	}
	if *n, err = strconv.ParseUint(number.String(), 10, 64); err != nil {
		return corrupt("%s is not a whole number of at most 64 bits", quote(number.String()))
	}
	return nil
}

func (r *reader) boolean(b *bool) error {
	t, err := r.token()
	if err != nil || t == nil {
		return err
	}
	v, ok := t.(bool)
	if !ok {
		return unexpected("true or false", t)
	}
	*b = v
	return nil
}

// skip reads any value.
func (r *reader) skip() error {
	for depth := 0; ; {
		t, err := r.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return corrupt("nested more than %d deep", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

func unexpected(want string, got json.Token) error {
	switch t := got.(type) {
	case nil:
		return corrupt("%s expected, and null found", want)
	case string:
		return corrupt("%s expected, and text %s found", want, quote(t))
	case json.Number:
		return corrupt("%s expected, and number %s found", want, quote(t.String()))
	}
	return corrupt("%s expected, and %v found", want, got)
}

// inside says where an error is.
func inside(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
