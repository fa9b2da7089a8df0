package dgraph

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A PredicateSchema is what the schema says of one predicate.
type PredicateSchema struct {
	Predicate
	Type       ValueType
	List       bool
	Lang       bool
	Reverse    bool
	Count      bool
	Upsert     bool
	Unique     bool
	NoConflict bool
	Tokenizers []string // of @index; empty: none
	Vector     string   // the specification of a vector index, as schema text has it; "" for none

	Rest []byte // fields of the stored message that none of the above stands for
}

// Text returns s as a line of the schema, with the namespace in front, which
// [ParseSchemaText] reads.
func (s *PredicateSchema) Text() string {
	text := schemaText{
		ValueType: s.Type, list: s.List, reverse: s.Reverse, index: true, tokenizers: s.Tokenizers,
		count: s.Count, lang: s.Lang, upsert: s.Upsert, unique: s.Unique,
	}
	if s.Vector != "" {
		text.vectors = []string{s.Vector}
	}
	out := fmt.Sprintf("[%#x] <%s>:%s", s.Namespace, s.Name, text.String())
	if s.NoConflict {
		out += " @noconflict"
	}
	return out + " ."
}

// A TypeSchema is a type and the names of its fields.
type TypeSchema struct {
	Predicate // its name
	Fields    []string

	// Rest and FieldRest, if they are not nil, are what the stored message says besides:
	// of the type, and of each field.
	Rest      []byte
	FieldRest [][]byte
}

// Text returns t as schema text has it, with the namespace in front, which
// [ParseSchemaText] reads.
func (t *TypeSchema) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%#x] type <%s> {\n", t.Namespace, t.Name)
	for _, f := range t.Fields {
		fmt.Fprintf(&b, "\t<%s>\n", f)
	}
	return b.String() + "}"
}

// Fields of pb.SchemaUpdate, and of pb.VectorIndexSpec with its options.
const (
	schemaType       = 2
	schemaDirective  = 3
	schemaTokenizer  = 4
	schemaCount      = 5
	schemaList       = 6
	schemaUpsert     = 8
	schemaLang       = 9
	schemaNoConflict = 13
	schemaUnique     = 14
	schemaVector     = 15

	vectorName    = 1
	vectorOption  = 2
	optionKey     = 1
	optionValue   = 2
	directive     = 1 // @index
	directiveBack = 2 // @reverse
)

// ParsePredicateSchema reads a stored pb.SchemaUpdate.
func ParsePredicateSchema(p Predicate, schemaUpdate []byte) (PredicateSchema, error) {
	s := PredicateSchema{Predicate: p}
	var stored struct{ directive, vectors []byte } // as they stand
	err := eachField(schemaUpdate, func(f *field) error {
		flag := map[protowire.Number]*bool{
			schemaCount: &s.Count, schemaList: &s.List, schemaUpsert: &s.Upsert, schemaLang: &s.Lang,
			schemaNoConflict: &s.NoConflict, schemaUnique: &s.Unique,
		}[f.num]
		switch {
		case f.num == schemaPredicate:
		case f.is(schemaType, protowire.VarintType):
			s.Type = ValueType(f.u)
		case f.is(schemaDirective, protowire.VarintType):
			stored.directive = f.raw
			s.Reverse = f.u == directiveBack
		case f.is(schemaTokenizer, protowire.BytesType):
			s.Tokenizers = append(s.Tokenizers, string(f.b))
		case f.is(schemaVector, protowire.BytesType):
			stored.vectors = append(stored.vectors, f.raw...)
			text, err := vectorText(f.b)
			s.Vector = text
			return err
		case flag != nil && f.typ == protowire.VarintType && f.u <= 1:
			*flag = f.u == 1
		default:
			s.Rest = append(s.Rest, f.raw...)
		}
		return nil
	})
	if err != nil {
		return PredicateSchema{}, fmt.Errorf("schema of %s: %w", p, err)
	}
	// What would be written otherwise stays as it is.
	if v, err := s.appendVector(nil); err != nil || !bytes.Equal(v, stored.vectors) {
		s.Vector, s.Rest = "", append(s.Rest, stored.vectors...)
	}
	if !bytes.Equal(appendVarintField(nil, schemaDirective, s.directive()), stored.directive) {
		s.Rest = slices.Concat(stored.directive, s.Rest)
	}
	return s, nil
}

func (s *PredicateSchema) directive() uint64 {
	switch {
	case s.Reverse:
		return directiveBack
	case len(s.Tokenizers) > 0 || s.Vector != "":
		return directive
	}
	return 0
}

// AppendUpdate appends s as the pb.SchemaUpdate that is stored, with the name in form f.
func (s *PredicateSchema) AppendUpdate(dst []byte, f Form) ([]byte, error) {
	name, err := s.append(nil, f)
	if err != nil {
		return nil, err
	}
	msg := appendVarintField(nil, schemaType, uint64(s.Type))
	if has, err := hasField(s.Rest, schemaDirective); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", s.Predicate, err)
	} else if !has {
		msg = appendVarintField(msg, schemaDirective, s.directive())
	}
	for _, t := range s.Tokenizers {
		msg = appendBytesField(msg, schemaTokenizer, []byte(t))
	}
	for _, flag := range []struct {
		num protowire.Number
		set bool
	}{
		{schemaCount, s.Count},
		{schemaList, s.List},
		{schemaUpsert, s.Upsert},
		{schemaLang, s.Lang},
		{schemaNoConflict, s.NoConflict},
		{schemaUnique, s.Unique},
	} {
		if flag.set {
			msg = appendVarintField(msg, flag.num, 1)
		}
	}
	if msg, err = s.appendVector(msg); err != nil {
		return nil, err
	}
	return appendRenamed(dst, append(msg, s.Rest...), name, nil)
}

// appendVector appends the field that holds the vector index, if there is one.
func (s *PredicateSchema) appendVector(dst []byte) ([]byte, error) {
	if s.Vector == "" {
		return dst, nil
	}
	p := schemaParser{lexer: schemaLexer{text: s.Vector, line: 1}}
	p.next()
	spec, err := p.vector()
	if err != nil {
		return nil, err
	}
	if p.kind != 0 || spec.String() != s.Vector {
		return nil, fmt.Errorf("%w: %q is no vector index", ErrSchema, s.Vector)
	}
	msg := appendBytesField(nil, vectorName, []byte(spec.name))
	for _, o := range spec.options {
		option := appendBytesField(nil, optionKey, []byte(o.key))
		option = appendBytesField(option, optionValue, []byte(o.value))
		msg = appendBytesField(msg, vectorOption, option)
	}
	return appendBytesField(dst, schemaVector, msg), nil
}

func hasField(msg []byte, num protowire.Number) (has bool, err error) {
	err = eachField(msg, func(f *field) error {
		has = has || f.num == num
		return nil
	})
	return has, err
}

// ParseTypeSchema reads a stored pb.TypeUpdate. Fields lie in the type's namespace,
// whichever form their names are in.
func ParseTypeSchema(name Predicate, typeUpdate []byte) (TypeSchema, error) {
	t := TypeSchema{Predicate: name}
	more := false
	err := eachField(typeUpdate, func(f *field) error {
		switch {
		case f.num == typeName:
		case f.is(typeFields, protowire.BytesType):
			text, err := fieldName(f.b)
			if err != nil {
				return err
			}
			rest, err := appendRenamed(nil, f.b, nil, nil)
			if err != nil {
				return err
			}
			rest = rest[len(appendBytesField(nil, schemaPredicate, nil)):]
			more = more || len(rest) > 0
			t.Fields = append(t.Fields, bareName(text, name.Namespace))
			t.FieldRest = append(t.FieldRest, rest)
		default:
			t.Rest = append(t.Rest, f.raw...)
		}
		return nil
	})
	if err != nil {
		return TypeSchema{}, fmt.Errorf("type %s: %w", name, err)
	}
	if !more {
		t.FieldRest = nil
	}
	return t, nil
}

// bareName is a name in a value of namespace ns without that namespace.
func bareName(text string, ns uint64) string {
	for _, f := range []Form{FormV23, FormV21} {
		prefix, err := Predicate{Namespace: ns}.append(nil, f)
		if rest, ok := strings.CutPrefix(text, string(prefix)); err == nil && ok && rest != "" {
			return rest
		}
	}
	return text
}

// AppendUpdate appends t as the pb.TypeUpdate that is stored, with names in form f.
func (t *TypeSchema) AppendUpdate(dst []byte, f Form) ([]byte, error) {
	name, err := t.append(nil, f)
	if err != nil {
		return nil, err
	}
	if t.FieldRest != nil && len(t.FieldRest) != len(t.Fields) {
		return nil, fmt.Errorf("%w: type %s has %d fields and more on %d", ErrSchema, t.Predicate, len(t.Fields), len(t.FieldRest))
	}
	var msg []byte
	for i, field := range t.Fields {
		name, err := Predicate{Namespace: t.Namespace, Name: field}.append(nil, f)
		if err != nil {
			return nil, err
		}
		update := appendBytesField(nil, schemaPredicate, name)
		if t.FieldRest != nil {
			update = append(update, t.FieldRest[i]...)
		}
		msg = appendBytesField(msg, typeFields, update)
	}
	return appendRenamed(dst, append(msg, t.Rest...), name, nil)
}

// ErrSchema means text that is no schema.
var ErrSchema = errors.New("invalid schema")
