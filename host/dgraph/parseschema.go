package dgraph

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseSchemaText reads what an alter operation says of namespace ns: predicates and
// types, as Dgraph's schema language has them.
//
//	name: string @index(term, exact) @lang .   # a comment
//	<friend of>: [uid] @reverse @count .
//	shape: float32vector @index(hnsw(metric:"cosine")) .
//	[0x1f] name: string .
//	type Person {
//		name
//		friend: [uid]
//		<~parent>
//	}
//
// A namespace in front of a name, which exports write, counts instead of ns. Of what is
// there twice the last counts.
func ParseSchemaText(ns uint64, text string) ([]PredicateSchema, []TypeSchema, error) {
	if !utf8.ValidString(text) {
		return nil, nil, fmt.Errorf("%w: it is not UTF-8", ErrSchema)
	}
	p := schemaParser{lexer: schemaLexer{text: text, line: 1}}
	p.next()
	var (
		predicates []PredicateSchema
		types      []TypeSchema
		nth        = map[Predicate]int{}
		nthType    = map[Predicate]int{}
	)
	for p.kind != 0 {
		in, err := p.namespace(ns)
		if err != nil {
			return nil, nil, err
		}
		if p.kind == wordToken && p.text == "type" && !p.peek(':') {
			t, err := p.typeSchema(in)
			if err != nil {
				return nil, nil, err
			}
			types = put(types, nthType, t.Predicate, t)
			continue
		}
		s, err := p.predicateSchema(in)
		if err != nil {
			return nil, nil, err
		}
		predicates = put(predicates, nth, s.Predicate, s)
	}
	return predicates, types, nil
}

func put[T any](all []T, nth map[Predicate]int, p Predicate, one T) []T {
	if i, ok := nth[p]; ok {
		all[i] = one
		return all
	}
	nth[p] = len(all)
	return append(all, one)
}

// A schemaParser stands at a token.
type schemaParser struct {
	lexer schemaLexer
	schemaToken
}

func (p *schemaParser) next() { p.schemaToken = p.lexer.next() }

// peek reports whether the token after this one is a sign.
func (p *schemaParser) peek(sign rune) bool {
	l := p.lexer
	return l.next().kind == sign
}

// accept steps over a sign if it is there.
func (p *schemaParser) accept(sign rune) bool {
	if p.kind != sign {
		return false
	}
	p.next()
	return true
}

func (p *schemaParser) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrSchema, p.line, fmt.Sprintf(format, args...))
}

// got is the present token, for an error.
func (p *schemaParser) got() string {
	if p.kind == 0 {
		return "the end"
	}
	return strconv.Quote(shorten(p.text))
}

// namespace reads [0x1f], if it is there.
func (p *schemaParser) namespace(ns uint64) (uint64, error) {
	if !p.accept('[') {
		return ns, nil
	}
	n, err := strconv.ParseUint(p.text, 0, 64)
	if err != nil || p.kind != wordToken {
		return 0, p.errorf("%s is no namespace: write it as [0x1f], or leave it out", p.got())
	}
	p.next()
	if !p.accept(']') {
		return 0, p.errorf("expected ] after a namespace, got %s", p.got())
	}
	return n, nil
}

// name reads the name of a predicate or a type.
func (p *schemaParser) name(of string) (string, error) {
	name := p.text
	switch {
	case p.kind == wordToken && isPlainName(name):
	case p.kind == wordToken:
		return "", p.errorf("the name %s must stand in < >", p.got())
	case p.kind != iriToken:
		return "", p.errorf("expected the name of a %s, got %s", of, p.got())
	}
	if err := CheckName(name); err != nil {
		return "", p.errorf("%v", err)
	}
	p.next()
	return name, nil
}

// predicateSchema reads name: type @directives .
func (p *schemaParser) predicateSchema(ns uint64) (PredicateSchema, error) {
	var s PredicateSchema
	name, err := p.name("predicate")
	if err != nil {
		return s, err
	}
	s.Predicate = Predicate{Namespace: ns, Name: name}
	if strings.HasPrefix(name, "~") {
		return s, p.errorf("<%s> is the way back along <%s>: give that one @reverse", name, name[1:])
	}
	if !p.accept(':') {
		return s, p.errorf("expected : after the predicate %s, got %s", name, p.got())
	}
	if err := p.valueType(&s); err != nil {
		return s, err
	}
	for p.accept('@') {
		if err := p.directive(&s); err != nil {
			return s, err
		}
	}
	if p.kind != '.' {
		return s, p.errorf("invalid ending: expected a directive or . after the predicate %s, got %s", name, p.got())
	}
	if err := p.checkUnique(&s); err != nil {
		return s, err
	}
	p.next()
	return s, nil
}

func (p *schemaParser) valueType(s *PredicateSchema) error {
	s.List = p.accept('[')
	if p.kind != wordToken {
		return p.errorf("missing type of the predicate %s: got %s", s.Name, p.got())
	}
	t, ok := valueTypeNamed(strings.ToLower(p.text))
	if !ok {
		return p.errorf("undefined type %s of the predicate %s: there are default, int, float, bool, datetime, geo, uid, password, string, bigfloat and float32vector", p.got(), s.Name)
	}
	if s.List && (t == ValuePassword || t == ValueBool || t == ValueVector) {
		return p.errorf("unsupported type for list: [%s]", t.name())
	}
	s.Type = t
	p.next()
	if s.List && !p.accept(']') {
		return p.errorf("unclosed [ while parsing schema for: %s", s.Name)
	}
	return nil
}

func valueTypeNamed(name string) (ValueType, bool) {
	for t := ValueDefault; t <= ValueVector; t++ {
		if name != "" && t.name() == name {
			return t, true
		}
	}
	return 0, false
}

// directive reads what is after @.
func (p *schemaParser) directive(s *PredicateSchema) error {
	if p.kind != wordToken {
		return p.errorf("missing directive after @: got %s", p.got())
	}
	switch p.text {
	case "index":
		p.next()
		return p.index(s)
	case "reverse":
		if s.Type != ValueUID {
			return p.errorf("cannot reverse for non-uid type: %s is of type %s", s.Name, s.Type.name())
		}
		s.Reverse = true
	case "lang":
		if s.Type != ValueString || s.List {
			return p.errorf("@lang directive can only be specified for string type, and %s is not of it", s.Name)
		}
		s.Lang = true
	case "count":
		s.Count = true
	case "upsert":
		s.Upsert = true
	case "noconflict":
		s.NoConflict = true
	case "unique":
		s.Unique, s.Upsert = true, true
	default:
		return p.errorf("invalid directive %s: there are @index, @reverse, @lang, @count, @upsert, @unique and @noconflict", p.got())
	}
	p.next()
	return nil
}

// A tokenizer is a way to index values of a type.
type tokenizer struct {
	name     string
	of       ValueType
	sortable bool // a predicate has at most one of those
}

var knownTokenizers = []tokenizer{
	{"exact", ValueString, true},
	{"term", ValueString, false},
	{"fulltext", ValueString, false},
	{"trigram", ValueString, false},
	{"hash", ValueString, false},
	{"sha256", ValueString, false},
	{"ngram", ValueString, false},
	{"year", ValueDatetime, true},
	{"month", ValueDatetime, true},
	{"day", ValueDatetime, true},
	{"hour", ValueDatetime, true},
	{"int", ValueInt, true},
	{"float", ValueFloat, true},
	{"bool", ValueBool, false},
	{"geo", ValueGeo, false},
	{"bigfloat", ValueBigFloat, true},
}

func tokenizersOf(t ValueType) string {
	if t == ValueVector {
		return `hnsw(metric:"cosine")`
	}
	var names []string
	for _, k := range knownTokenizers {
		if k.of == t {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, ", ")
}

// index reads what is after @index.
func (p *schemaParser) index(s *PredicateSchema) error {
	can := tokenizersOf(s.Type)
	if can == "" {
		return p.errorf("indexing not allowed on predicate %s of type %s", s.Name, s.Type.name())
	}
	if !p.accept('(') {
		return p.errorf("require type of tokenizer for pred: %s for indexing: write @index(...) with any of %s", s.Name, can)
	}
	for {
		if err := p.tokenizer(s, can); err != nil {
			return err
		}
		if p.accept(')') {
			return nil
		}
		if !p.accept(',') {
			return p.errorf("expected a comma or ) after a tokenizer, got %s", p.got())
		}
	}
}

func (p *schemaParser) tokenizer(s *PredicateSchema, can string) error {
	if p.kind != wordToken {
		return p.errorf("expected a tokenizer, any of %s, got %s", can, p.got())
	}
	if s.Type == ValueVector {
		v, err := p.vector()
		if err == nil && s.Vector != "" {
			err = p.errorf("predicate %s has two vector indexes", s.Name)
		}
		s.Vector = v.String()
		return err
	}
	name := strings.ToLower(p.text)
	nth := slices.IndexFunc(knownTokenizers, func(t tokenizer) bool { return t.name == name })
	switch {
	case nth < 0:
		return p.errorf("invalid tokenizer %s: %s can have %s", p.got(), s.Name, can)
	case knownTokenizers[nth].of != s.Type:
		return p.errorf("tokenizer: %s isn't valid for predicate: %s of type: %s: it can have %s", name, s.Name, s.Type.name(), can)
	case slices.Contains(s.Tokenizers, name):
		return p.errorf("duplicate tokenizer %s present for attr %s", name, s.Name)
	}
	for _, other := range knownTokenizers {
		if other.sortable && knownTokenizers[nth].sortable && slices.Contains(s.Tokenizers, other.name) {
			return p.errorf("only one index tokenizer can be sortable for %s: %s or %s", s.Name, other.name, name)
		}
	}
	s.Tokenizers = append(s.Tokenizers, name)
	p.next()
	return nil
}

// checkUnique refuses @unique without the index by which Dgraph finds the other one.
func (p *schemaParser) checkUnique(s *PredicateSchema) error {
	if !s.Unique {
		return nil
	}
	switch s.Type {
	case ValueString:
		if !slices.Contains(s.Tokenizers, "hash") && !slices.Contains(s.Tokenizers, "exact") {
			return p.errorf("index for predicate [%s] is missing, add either hash or exact index with @unique", s.Name)
		}
	case ValueInt:
		if !slices.Contains(s.Tokenizers, "int") {
			return p.errorf("index for predicate [%s] is missing, add int index with @unique", s.Name)
		}
	default:
		return p.errorf("@unique is for string and int, and %s is of type %s", s.Name, s.Type.name())
	}
	return nil
}

// A vectorSpec is name(key:"value",...).
type vectorSpec struct {
	name    string
	options []vectorSpecOption
}

type vectorSpecOption struct{ key, value string }

// String writes the specification as exports do.
func (v vectorSpec) String() string {
	options := make([]string, 0, len(v.options))
	for _, o := range v.options {
		options = append(options, o.key+`:"`+o.value+`"`)
	}
	return v.name + "(" + strings.Join(options, ",") + ")"
}

func (p *schemaParser) vector() (vectorSpec, error) {
	v := vectorSpec{name: p.text}
	if p.kind != wordToken || p.text != "hnsw" {
		return v, p.errorf("invalid vector index %s: write hnsw(metric:\"cosine\")", p.got())
	}
	p.next()
	if !p.accept('(') {
		return v, nil
	}
	for !p.accept(')') {
		if len(v.options) > 0 && !p.accept(',') {
			return v, p.errorf("expected a comma or ) after an option of hnsw, got %s", p.got())
		}
		o, err := p.vectorOption()
		if err != nil {
			return v, err
		}
		if slices.ContainsFunc(v.options, func(other vectorSpecOption) bool { return other.key == o.key }) {
			return v, p.errorf("duplicate option %s of hnsw", o.key)
		}
		v.options = append(v.options, o)
	}
	return v, nil
}

func (p *schemaParser) vectorOption() (vectorSpecOption, error) {
	o := vectorSpecOption{key: p.text}
	if p.kind != wordToken || !slices.Contains([]string{"metric", "exponent", "maxLevels", "efConstruction", "efSearch"}, o.key) {
		return o, p.errorf("invalid option %s of hnsw: there are metric, exponent, maxLevels, efConstruction and efSearch", p.got())
	}
	p.next()
	if !p.accept(':') {
		return o, p.errorf("expected : after the option %s, got %s", o.key, p.got())
	}
	o.value = p.text
	if p.kind != stringToken {
		return o, p.errorf("expected a value in quotes after %s:, got %s", o.key, p.got())
	}
	if o.key == "metric" {
		if !slices.Contains([]string{"euclidean", "cosine", "dotproduct"}, o.value) {
			return o, p.errorf("invalid metric %s: there are euclidean, cosine and dotproduct", p.got())
		}
	} else if n, err := strconv.Atoi(o.value); err != nil || n <= 0 {
		return o, p.errorf("%s must be a whole number from 1 up, got %s", o.key, p.got())
	}
	p.next()
	return o, nil
}

// typeSchema reads type Name { fields }. What is said of the fields' types does not
// count.
func (p *schemaParser) typeSchema(ns uint64) (TypeSchema, error) {
	p.next()
	var t TypeSchema
	name, err := p.name("type")
	if err != nil {
		return t, err
	}
	t.Predicate = Predicate{Namespace: ns, Name: name}
	if !p.accept('{') {
		return t, p.errorf("expected { after the type %s, got %s", name, p.got())
	}
	seen := map[string]bool{}
	for !p.accept('}') {
		field := strings.TrimPrefix(p.text, "~")
		if p.kind == wordToken && field != p.text && isPlainName(field) {
			field = p.text
			p.next()
		} else if field, err = p.name("field"); err != nil {
			return t, err
		}
		if seen[field] {
			return t, p.errorf("duplicate fields with name: %s", field)
		}
		seen[field] = true
		t.Fields = append(t.Fields, field)
		if p.accept(':') {
			if err := p.fieldType(field); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// fieldType reads string, [uid], [Person!]! and the like.
func (p *schemaParser) fieldType(field string) error {
	list := p.accept('[')
	if p.kind != wordToken && p.kind != iriToken {
		return p.errorf("missing type of the field %s: got %s", field, p.got())
	}
	p.next()
	p.accept('!')
	if list && !p.accept(']') {
		return p.errorf("expected matching square bracket after the type of the field %s, got %s", field, p.got())
	}
	p.accept('!')
	p.accept(',')
	return nil
}
