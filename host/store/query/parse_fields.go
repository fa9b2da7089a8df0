package query

import (
	"fmt"
	"slices"
	"strings"
)

// fields takes { ... }.
func (p *parser) fields(depth int) (fields []field, err error) {
	if open := p.peek(); depth >= maxDepth {
		return nil, fmt.Errorf("%w: line %d: nested deeper than %d blocks", ErrQuery, open.line, maxDepth)
	}
	if err := p.want('{'); err != nil {
		return nil, err
	}
	for !p.take('}') {
		f, err := p.field(depth)
		if err == nil {
			err = p.more()
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
		p.take(',')
	}
	return fields, nil
}

// directiveNames may stand behind a predicate as languages do.
var directiveNames = []string{"filter", "facets", "cascade", "normalize", "groupby", "recurse", "ignorereflex"}

func (p *parser) field(depth int) (f field, err error) {
	t := p.peek()
	name, err := p.predicate()
	if err != nil {
		return f, err
	}
	if p.take(':') {
		alias := name
		t = p.peek()
		if name, err = p.predicate(); err != nil {
			return f, err
		}
		f.key = alias
	}
	next := p.peek()
	switch {
	case next.kind == 'w' && strings.EqualFold(next.text, "as"):
		return f, unsupported(t.line, "a query variable", hintFields)
	case t.kind == 'w' && strings.HasPrefix(name, "..."):
		return f, unsupported(t.line, "a fragment", hintFields)
	case t.kind == 'w' && next.kind == '(' && p.call():
		return p.function1(f, t, depth)
	case t.kind == 'w' && name == "uid":
		f.kind, f.attr = fieldUID, name
	default:
		f.kind, f.attr = fieldValue, name
	}
	if err := p.languages(&f); err != nil {
		return f, err
	}
	if f.key == "" {
		f.key = f.attr
		if len(f.langs) > 0 {
			f.key += "@" + strings.Join(f.langs, ":")
		}
	}
	return f, p.rest(&f, depth)
}

// call reports whether the next parenthesis holds no page arguments, which have a colon behind
// their name: then what stands before it is a function.
func (p *parser) call() bool {
	if p.at+2 >= len(p.tokens) {
		return true
	}
	return p.tokens[p.at+2].kind != ':'
}

// function1 takes what stands behind count or expand.
func (p *parser) function1(f field, name token, depth int) (field, error) {
	p.next() // (
	switch name.text {
	case "count":
		attr, err := p.predicate()
		if err != nil {
			return f, err
		}
		f.kind, f.attr = fieldCount, attr
		key := "count(" + attr + ")"
		if attr == "uid" {
			f.kind, key = fieldCountUID, "count"
		}
		if f.key == "" {
			f.key = key
		}
		if t := p.peek(); t.kind == '@' {
			return f, unsupported(t.line, "count of a language", hintFields)
		}
		return f, p.want(')')
	case "expand":
		f.kind = fieldExpand
		for !p.take(')') {
			t, err := p.word()
			if err != nil {
				return f, err
			}
			if t.text == "val" {
				return f, unsupported(t.line, "expand(val())", hintFields)
			}
			f.types = append(f.types, t.text)
			p.take(',')
		}
		switch {
		case len(f.types) == 0:
			return f, fmt.Errorf("%w: line %d: expand of nothing", ErrQuery, name.line)
		case slices.Contains(f.types, "_all_"):
			f.types = nil
		}
		return f, p.rest(&f, depth)
	}
	return f, unsupported(name.line, short(name.text)+"()", hintFields)
}

// languages takes @en:fr:.
func (p *parser) languages(f *field) error {
	if p.peek().kind != '@' || p.at+1 >= len(p.tokens) || slices.Contains(directiveNames, strings.ToLower(p.tokens[p.at+1].text)) {
		return nil
	}
	for p.next(); ; p.next() {
		t := p.next()
		if t.kind != 'w' && t.kind != '*' {
			return fmt.Errorf("%w: line %d: %s where a language should be", ErrQuery, t.line, t)
		}
		f.langs = append(f.langs, t.text)
		if p.peek().kind != ':' {
			break
		}
	}
	if len(f.langs) > 1 && slices.Contains(f.langs, "*") {
		return fmt.Errorf("%w: @* is all languages: there is none beside it", ErrQuery)
	}
	return nil
}

// rest takes a field's page arguments and its nested fields.
func (p *parser) rest(f *field, depth int) (err error) {
	if p.take('(') {
		for !p.take(')') {
			arg, err := p.word()
			if err != nil {
				return err
			}
			if err := p.want(':'); err != nil {
				return err
			}
			if err := p.pageArgument(&f.page, arg); err != nil {
				return err
			}
			p.take(',')
		}
	}
	if err := p.directives(); err != nil {
		return err
	}
	if p.peek().kind != '{' {
		return nil
	}
	f.nested = true
	f.fields, err = p.fields(depth + 1)
	return err
}

// schemaFields are those that a schema query may name.
var schemaFields = []string{"type", "index", "tokenizer", "reverse", "count", "list", "upsert", "lang", "unique", "no_conflict", "noconflict"}

// schema takes (pred: [...]) { ... }.
func (p *parser) schema(q *Query) error {
	var s schemaQuery
	if p.take('(') {
		arg, err := p.word()
		if err != nil {
			return err
		}
		if err := p.want(':'); err != nil {
			return err
		}
		var names function
		if err := p.values(&names); err != nil {
			return err
		}
		switch arg.text {
		case "pred", "predicate":
			s.predicates, s.types = append([]string{}, names.values...), []string{}
		case "type":
			s.types, s.onlyTypes = append([]string{}, names.values...), true
		default:
			return unsupported(arg.line, "schema("+short(arg.text)+")", "there are schema(pred: [...]) and schema(type: ...)")
		}
		if err := p.want(')'); err != nil {
			return err
		}
	}
	if err := p.want('{'); err != nil {
		return err
	}
	for !p.take('}') {
		t, err := p.word()
		if err != nil {
			return err
		}
		if !slices.Contains(schemaFields, t.text) {
			return unsupported(t.line, "the schema field "+short(t.text), "there are "+strings.Join(schemaFields, ", "))
		}
		s.fields = append(s.fields, t.text)
		p.take(',')
	}
	q.schema = append(q.schema, s)
	return nil
}
