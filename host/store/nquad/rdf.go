package nquad

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// ParseRDF reads a body of N-Quads:
//
//	{
//		set {
//			_:a <name> "Alice"@en .
//			_:a <age> "38"^^<xs:int> .
//			_:a <friend> <0x2> .
//		}
//		delete {
//			<0x1> <name> * .
//			<0x3> * * .
//		}
//	}
func ParseRDF(body []byte) (*Request, error) {
	p := &rdfParser{text: string(body), line: 1}
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrSyntax)
	}
	p.skip()
	if err := p.open("the mutation"); err != nil {
		return nil, err
	}
	for !p.accept('}') {
		if err := p.block(); err != nil {
			return nil, err
		}
	}
	if p.rest() != "" {
		return nil, p.errorf("expected the end after the mutation, got %s", p.got())
	}
	return &p.request, nil
}

// A rdfParser stands at what is next, never at a blank.
type rdfParser struct {
	text    string
	pos     int
	line    int
	request Request
	hashes  int // passwords that were hashed
}

func (p *rdfParser) rest() string { return p.text[p.pos:] }

// advance steps over n bytes, and what is blank after them.
func (p *rdfParser) advance(n int) {
	p.line += strings.Count(p.text[p.pos:p.pos+n], "\n")
	p.pos += n
	p.skip()
}

// skip steps over blanks and comments.
func (p *rdfParser) skip() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		case '#':
			n := strings.IndexByte(p.rest(), '\n')
			if n < 0 {
				n = len(p.rest())
			}
			p.pos += n
			continue
		default:
			return
		}
		p.pos++
	}
}

func (p *rdfParser) accept(sign byte) bool {
	if p.pos == len(p.text) || p.text[p.pos] != sign {
		return false
	}
	p.advance(1)
	return true
}

func (p *rdfParser) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %w", ErrSyntax, p.line, fmt.Errorf(format, args...))
}

// got is what is next on the line, for an error.
func (p *rdfParser) got() string {
	if p.rest() == "" {
		return "the end"
	}
	line, _, _ := strings.Cut(p.rest(), "\n")
	return strconv.Quote(shorten(strings.TrimSpace(line)))
}

func (p *rdfParser) open(what string) error {
	switch {
	case p.accept('{'):
		return nil
	case strings.HasPrefix(p.rest(), "upsert"):
		return p.errUpsert()
	}
	return p.errorf("expected { before %s, got %s: write { set { ... } delete { ... } }", what, p.got())
}

func (p *rdfParser) errUpsert() error {
	return p.errorf("upsert blocks are not supported: query first, and send set and delete alone, got %s", p.got())
}

// block reads set { ... } or delete { ... }.
func (p *rdfParser) block() error {
	word := p.rest()
	if n := strings.IndexFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }); n >= 0 {
		word = word[:n]
	}
	var into *[]NQuad
	switch word {
	case "set":
		into = &p.request.Set
	case "delete":
		into = &p.request.Del
	case "upsert", "query", "mutation":
		return p.errUpsert()
	default:
		return p.errorf("expected set or delete, got %s: write { set { ... } delete { ... } }", p.got())
	}
	p.advance(len(word))
	if strings.HasPrefix(p.rest(), "@") {
		return p.errorf("conditions are not supported: query first, and send set and delete alone, got %s", p.got())
	}
	if err := p.open("the quads of " + word); err != nil {
		return err
	}
	for !p.accept('}') {
		if len(p.request.Set)+len(p.request.Del) >= maxQuads {
			return p.errorf("more than %d quads: send them in several mutations", maxQuads)
		}
		q, err := p.quad(word == "delete")
		if err != nil {
			return err
		}
		*into = append(*into, q)
	}
	return nil
}

// quad reads subject predicate object label .
func (p *rdfParser) quad(del bool) (NQuad, error) {
	q := NQuad{Line: p.line}
	var err error
	if q.Subject, err = p.node("subject", del); err != nil {
		return q, err
	}
	if err := p.predicate(&q, del); err != nil {
		return q, err
	}
	if err := p.object(&q, del); err != nil {
		return q, err
	}
	if strings.HasPrefix(p.rest(), "<") {
		label, err := p.iri("label")
		if err != nil {
			return q, err
		}
		ns, err := strconv.ParseUint(label, 0, 64)
		if err != nil {
			return q, p.errorf("the label <%s> is no namespace, as <0x1>: leave it out", shorten(label))
		}
		q.Namespace = &ns
	}
	switch {
	case strings.HasPrefix(p.rest(), "("):
		return q, p.errorf("facets are not supported: leave out %s", p.got())
	case !p.accept('.'):
		return q, p.errorf("expected . after the object, got %s", p.got())
	}
	return q, nil
}

// node reads a uid or a blank node. What makes a node of another's IRI a blank one stands in < >,
// as <_:http://example.org/a>.
func (p *rdfParser) node(what string, del bool) (string, error) {
	rest := p.rest()
	switch {
	case strings.HasPrefix(rest, "<"):
		text, err := p.iri(what)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(text, "_:") {
			if err := checkBlank(text, del); err != nil {
				return "", p.errorf("the %s: %w", what, err)
			}
			return text, nil
		}
		u, err := parseUID(text)
		if err != nil {
			return "", p.errorf("the %s <%s>: %w", what, shorten(text), err)
		}
		return "0x" + strconv.FormatUint(u, 16), nil
	case strings.HasPrefix(rest, "_:"):
		return p.blank(del)
	case strings.HasPrefix(rest, "uid("), strings.HasPrefix(rest, "val("):
		return "", p.errorf("uid(...) and val(...) are not supported, for they need an upsert block, got %s", p.got())
	}
	return "", p.errorf("expected the %s, as <0x1> or _:name, got %s", what, p.got())
}

// iri reads what is between < and >.
func (p *rdfParser) iri(what string) (string, error) {
	rest := p.rest()
	n := strings.IndexAny(rest[1:], "<>\n") + 1
	if n < 1 || rest[n] != '>' {
		return "", p.errorf("the %s has no >, got %s", what, p.got())
	}
	p.advance(n + 1)
	return rest[1:n], nil
}

func (p *rdfParser) blank(del bool) (string, error) {
	rest := p.rest()
	n := strings.IndexFunc(rest[2:], func(r rune) bool {
		return !strings.ContainsRune("_-.:·‿⁀", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)
	})
	name := rest
	if n >= 0 {
		name = rest[:2+n]
	}
	name = strings.TrimRight(name, ".") // the end of the quad
	switch {
	case len(name) < 3:
		return "", p.errorf("a blank node without a name, got %s", p.got())
	case del:
		return "", p.errorf("a blank node is new, and cannot be part of what is deleted, got %s", p.got())
	}
	p.advance(len(name))
	return name, nil
}

func (p *rdfParser) predicate(q *NQuad, del bool) error {
	switch {
	case strings.HasPrefix(p.rest(), "*"):
		if !del {
			return p.errorf("* is for what is deleted, got %s", p.got())
		}
		p.advance(1)
		return nil
	case !strings.HasPrefix(p.rest(), "<"):
		return p.errorf("expected a predicate, as <name>, got %s", p.got())
	}
	text, err := p.iri("predicate")
	if err != nil {
		return err
	}
	if q.Predicate, q.Lang, err = splitLang(text); err != nil {
		return p.errorf("the predicate <%s>: %w", shorten(text), err)
	}
	return nil
}

func (p *rdfParser) object(q *NQuad, del bool) (err error) {
	switch rest := p.rest(); {
	case strings.HasPrefix(rest, "*"):
		if !del {
			return p.errorf("* is for what is deleted, got %s", p.got())
		}
		p.advance(1)
		q.Star = true
		return nil
	case q.Predicate == "":
		return p.errorf("with * for the predicate, the object must be *, got %s", p.got())
	case strings.HasPrefix(rest, `"`):
		return p.literal(q)
	case q.Lang != "":
		return p.errorf("an edge has no language, got %s", p.got())
	}
	q.Object, err = p.node("object", del)
	return err
}

// literal reads "text", "text"@lang or "text"^^<type>.
func (p *rdfParser) literal(q *NQuad) error {
	text, n, err := unescape(p.rest()[1:])
	if err != nil {
		return p.errorf("%w, in %s", err, p.got())
	}
	// A language or a type follows at once, and a comment may not.
	p.pos += 1 + n
	rest := p.rest()
	t := dgraph.ValueDefault
	switch {
	case strings.HasPrefix(rest, "@"):
		lang := rest[1:]
		if n := strings.IndexFunc(lang, func(r rune) bool { return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }); n >= 0 {
			lang = lang[:n]
		}
		if !isLang(lang) {
			return p.errorf("expected a language after @, as en, got %s", p.got())
		}
		q.Lang = lang
		p.advance(1 + len(lang))
	case strings.HasPrefix(rest, "^^<"):
		p.pos += 2
		name, err := p.iri("type")
		if err != nil {
			return err
		}
		var ok bool
		if t, ok = datatype(name); !ok {
			return p.errorf("unrecognized rdf type %q: there are xs:string, xs:int, xs:float, xs:boolean, xs:dateTime, xs:password, xs:decimal, xs:float32vector and geo:geojson", shorten(name))
		}
	default:
		p.skip()
	}
	if err := checkText(text); err != nil {
		return p.errorf("%w", err)
	}
	if _, err := bcrypt.Cost([]byte(text)); t == dgraph.ValuePassword && err != nil {
		if p.hashes++; p.hashes > store.MaxPasswords {
			return p.errorf("more than %d passwords: send them in several mutations", store.MaxPasswords)
		}
	}
	v, err := dgraph.ParseValue(t, text)
	if err != nil {
		return p.errorf("%w", err)
	}
	q.Value = &v
	return nil
}

// unescape reads a literal from behind its first quote, and returns how many bytes it
// takes with the last one.
func unescape(s string) (text string, n int, err error) {
	end := strings.IndexAny(s, "\"\\\n")
	if end >= 0 && s[end] == '"' {
		return s[:end], end + 1, nil
	}
	var b strings.Builder
	for {
		if end < 0 || s[n+end] == '\n' {
			return "", 0, errors.New(`a literal has no " on its line: a line break in it is \n`)
		}
		b.WriteString(s[n : n+end])
		n += end
		if s[n] == '"' {
			return b.String(), n + 1, nil
		}
		r, size, err := escape(s[n:])
		if err != nil {
			return "", 0, fmt.Errorf("%q is %w", s[n:min(len(s), n+2)], err)
		}
		b.WriteRune(r)
		n += size
		end = strings.IndexAny(s[n:], "\"\\\n")
	}
}

var shortEscapes = map[byte]rune{'t': '\t', 'b': '\b', 'n': '\n', 'r': '\r', 'f': '\f', 'v': '\v', '"': '"', '\'': '\'', '\\': '\\'}

var errEscape = errors.New(`no escape: there are \t \b \n \r \f \v \" \' \\ \u0000 and \U00000000`)

// escape reads \n, \u00e4, \U0001f600 or two halves of a surrogate pair.
func escape(s string) (rune, int, error) {
	if len(s) < 2 {
		return 0, 0, errEscape
	}
	if r, ok := shortEscapes[s[1]]; ok {
		return r, 2, nil
	}
	size := map[byte]int{'u': 6, 'U': 10}[s[1]]
	if size == 0 || len(s) < size {
		return 0, 0, errEscape
	}
	u, err := strconv.ParseUint(s[2:size], 16, 32)
	if err != nil {
		return 0, 0, errEscape
	}
	if 0xd800 <= u && u < 0xdc00 && len(s) >= 12 && s[6:8] == `\u` {
		if low, err := strconv.ParseUint(s[8:12], 16, 32); err == nil && 0xdc00 <= low && low < 0xe000 {
			return rune(0x10000 + (u-0xd800)<<10 + (low - 0xdc00)), 12, nil
		}
	}
	if r := rune(u); u <= unicode.MaxRune && utf8.ValidRune(r) {
		return r, size, nil
	}
	return 0, 0, errEscape
}
