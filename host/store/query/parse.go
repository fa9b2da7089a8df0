package query

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	maxDepth = 32     // of blocks in blocks
	maxParts = 10_000 // blocks, fields and descriptions of the schema
)

// Parse understands a query. Variables are those that it declares, as $name; they
// stand where a value does.
func Parse(text string, variables map[string]string) (*Query, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, given: variables, vars: map[string]string{}}
	q := &Query{}
	for p.peek().kind != 0 {
		if err := p.part(q); err != nil {
			return nil, err
		}
	}
	if len(q.blocks) == 0 && len(q.schema) == 0 {
		return nil, &problem{fmt.Errorf("%w: it asks for nothing", ErrQuery), "for example { q(func: has(name)) { uid name } }"}
	}
	if err := p.allUsed(); err != nil {
		return nil, err
	}
	return q, nil
}

type parser struct {
	tokens []token
	at     int
	given  map[string]string
	vars   map[string]string // declared, with their values
	parts  int
}

// more counts what adds to the answer.
func (p *parser) more() error {
	if p.parts++; p.parts > maxParts {
		return &problem{fmt.Errorf("%w: more than %d blocks and fields", ErrQuery, maxParts), "ask for them in several queries"}
	}
	return nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != 0 {
		p.at++
	}
	return t
}

// take takes the next token if it is that character.
func (p *parser) take(kind byte) bool {
	if p.peek().kind != kind {
		return false
	}
	p.next()
	return true
}

func (p *parser) want(kind byte) error {
	if t := p.next(); t.kind != kind {
		return fmt.Errorf("%w: line %d: %s where %q should be", ErrQuery, t.line, t, kind)
	}
	return nil
}

// word takes a word that is no predicate's name.
func (p *parser) word() (token, error) {
	t := p.next()
	if t.kind != 'w' {
		return t, fmt.Errorf("%w: line %d: %s where a name should be", ErrQuery, t.line, t)
	}
	return t, nil
}

// predicate takes a name, which may stand in <>.
func (p *parser) predicate() (string, error) {
	t := p.next()
	if t.kind != 'w' && t.kind != 'i' {
		return "", fmt.Errorf("%w: line %d: %s where a predicate should be", ErrQuery, t.line, t)
	}
	if strings.HasPrefix(t.text, "~") {
		return "", unsupported(t.line, "the reverse edge "+short(t.text), "reverse edges are not built here: ask for the nodes that have the edge, with has")
	}
	return t.text, nil
}

// part takes one of the query's outermost parts.
func (p *parser) part(q *Query) error {
	t := p.peek()
	if t.kind == '{' {
		return p.blocks(q)
	}
	if t, err := p.word(); err != nil || t.text != "query" && t.text != "schema" {
		if err != nil {
			return err
		}
		return unsupported(t.line, short(t.text), "a query is { name(func: ...) { ... } }, or schema { }")
	}
	if t.text == "schema" {
		if err := p.more(); err != nil {
			return err
		}
		return p.schema(q)
	}
	if p.peek().kind == 'w' {
		p.next() // its name
	}
	if p.take('(') {
		if err := p.declarations(); err != nil {
			return err
		}
	}
	return p.blocks(q)
}

// declarations takes $name: type = "default", ...).
func (p *parser) declarations() error {
	for !p.take(')') {
		if err := p.want('$'); err != nil {
			return err
		}
		name, err := p.word()
		if err != nil {
			return err
		}
		if err := p.want(':'); err != nil {
			return err
		}
		if _, err := p.word(); err != nil {
			return err
		}
		p.take('!')
		value, given := p.given["$"+name.text]
		if !given {
			value, given = p.given[name.text]
		}
		if p.take('=') {
			t := p.next()
			if t.kind != 's' && t.kind != 'w' {
				return fmt.Errorf("%w: line %d: %s where a value should be", ErrQuery, t.line, t)
			}
			if !given {
				value, given = t.text, true
			}
		}
		if !given {
			return fmt.Errorf("%w: line %d: variable $%s has no value", ErrQuery, name.line, name.text)
		}
		p.vars[name.text] = value
		p.take(',')
	}
	return nil
}

// allUsed refuses variables that the query does not declare.
func (p *parser) allUsed() error {
	for _, name := range slices.Sorted(maps.Keys(p.given)) {
		if _, ok := p.vars[strings.TrimPrefix(name, "$")]; !ok {
			return &problem{
				fmt.Errorf("%w: variable %s is not declared", ErrQuery, short(name)),
				"as in query q($name: string) { ... }",
			}
		}
	}
	return nil
}

// value takes a string, a word or a variable.
func (p *parser) value() (string, error) {
	if !p.take('$') {
		t := p.next()
		if t.kind != 's' && t.kind != 'w' && t.kind != 'i' {
			return "", fmt.Errorf("%w: line %d: %s where a value should be", ErrQuery, t.line, t)
		}
		if t.kind == 'w' && p.peek().kind == '(' {
			return "", unsupported(t.line, t.text+"()", hintFunctions)
		}
		return t.text, nil
	}
	name, err := p.word()
	if err != nil {
		return "", err
	}
	value, ok := p.vars[name.text]
	if !ok {
		return "", fmt.Errorf("%w: line %d: variable $%s is not declared", ErrQuery, name.line, name.text)
	}
	return value, nil
}

// blocks takes { name(func: ...) { ... } ... }.
func (p *parser) blocks(q *Query) error {
	if err := p.want('{'); err != nil {
		return err
	}
	for !p.take('}') {
		b, err := p.block()
		if err == nil {
			err = p.more()
		}
		if err != nil {
			return err
		}
		for i := range q.blocks {
			if q.blocks[i].name == b.name {
				return fmt.Errorf("%w: two blocks are called %s", ErrQuery, short(b.name))
			}
		}
		q.blocks = append(q.blocks, b)
	}
	return nil
}

func (p *parser) block() (b block, err error) {
	name, err := p.word()
	if err != nil {
		return b, err
	}
	b.name = name.text
	switch next := p.peek(); {
	case name.text == "var" || next.kind == 'w' && strings.EqualFold(next.text, "as"):
		return b, unsupported(name.line, "a query variable", hintFunctions)
	case name.text == "shortest":
		return b, unsupported(name.line, "shortest", hintFunctions)
	}
	if err := p.want('('); err != nil {
		return b, err
	}
	found := false
	for !p.take(')') {
		arg, err := p.word()
		if err != nil {
			return b, err
		}
		if err := p.want(':'); err != nil {
			return b, err
		}
		if arg.text == "func" && !found {
			found = true
			b.root, err = p.function()
		} else {
			err = p.pageArgument(&b.page, arg)
		}
		if err != nil {
			return b, err
		}
		p.take(',')
	}
	if !found {
		return b, &problem{fmt.Errorf("%w: line %d: block %s has no func", ErrQuery, name.line, short(b.name)), hintFunctions}
	}
	if err := p.directives(); err != nil {
		return b, err
	}
	b.fields, err = p.fields(0)
	return b, err
}

// function takes name(...).
func (p *parser) function() (f function, err error) {
	name, err := p.word()
	if err != nil {
		return f, err
	}
	f.name = strings.ToLower(name.text)
	if !slices.Contains([]string{"uid", "has", "eq", "type"}, f.name) {
		return f, unsupported(name.line, "the function "+short(name.text), hintFunctions)
	}
	if err := p.want('('); err != nil {
		return f, err
	}
	if f.name != "uid" {
		if f.attr, err = p.predicate(); err != nil {
			return f, err
		}
	}
	if f.name == "eq" && p.take('@') {
		lang, err := p.word()
		if err != nil {
			return f, err
		}
		f.lang = lang.text
	}
	for p.take(',') || f.name == "uid" && p.peek().kind != ')' {
		if err := p.values(&f); err != nil {
			return f, err
		}
	}
	if err := p.want(')'); err != nil {
		return f, err
	}
	switch n := len(f.values); {
	case f.name == "eq" && n == 0:
		return f, fmt.Errorf("%w: line %d: eq(%s) compares with nothing", ErrQuery, name.line, short(f.attr))
	case (f.name == "has" || f.name == "type") && n > 0:
		return f, fmt.Errorf("%w: line %d: %s takes one name", ErrQuery, name.line, f.name)
	case f.name == "uid":
		return f, f.parseUIDs(name.line)
	}
	return f, nil
}

// values takes one value, or several in [].
func (p *parser) values(f *function) error {
	if !p.take('[') {
		v, err := p.value()
		f.values = append(f.values, v)
		return err
	}
	for !p.take(']') {
		v, err := p.value()
		if err != nil {
			return err
		}
		f.values = append(f.values, v)
		p.take(',')
	}
	return nil
}

func (f *function) parseUIDs(line int) error {
	for _, text := range f.values {
		for part := range strings.SplitSeq(strings.Trim(text, "[] "), ",") { // a variable may hold a list
			uid, err := parseUID(strings.TrimSpace(part))
			if err != nil {
				return &problem{fmt.Errorf("%w: line %d: %s is no uid", ErrQuery, line, strconv.Quote(short(part))), "as in uid(0x1, 0x2)"}
			}
			f.uids = append(f.uids, uid)
		}
	}
	slices.Sort(f.uids)
	f.uids = slices.Compact(f.uids)
	return nil
}

func parseUID(text string) (uint64, error) {
	uid, err := strconv.ParseUint(text, 0, 64)
	if err == nil && (uid == 0 || strings.ContainsRune(text, '_')) {
		err = strconv.ErrRange
	}
	return uid, err
}

// pageArgument takes the value of first, offset or after.
func (p *parser) pageArgument(to *page, arg token) error {
	switch arg.text {
	case "first", "offset", "after":
	default:
		return unsupported(arg.line, "the argument "+short(arg.text), "there are first, offset and after")
	}
	text, err := p.value()
	if err != nil {
		return err
	}
	if arg.text == "after" {
		to.after, err = strconv.ParseUint(text, 0, 64)
	} else {
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		if n > math.MaxInt32 || n < -math.MaxInt32 || n < 0 && arg.text == "offset" {
			err = strconv.ErrRange
		}
		if arg.text == "first" {
			to.first = int(n)
		} else {
			to.offset = int(n)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: line %d: %s is no number for %s", ErrQuery, arg.line, strconv.Quote(short(text)), arg.text)
	}
	return nil
}

// directives refuses them: there are none.
func (p *parser) directives() error {
	if !p.take('@') {
		return nil
	}
	name, err := p.word()
	if err != nil {
		return err
	}
	return unsupported(name.line, "@"+short(name.text), hintFields)
}
