package dgraph

import "errors"

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

// A TypeSchema is a type and the names of its fields.
type TypeSchema struct {
	Predicate // its name
	Fields    []string
}

// ErrSchema means text that is no schema.
var ErrSchema = errors.New("invalid schema")

// ParseSchemaText reads what an alter operation says of namespace ns: predicates and
// types, as Dgraph's schema language has them.
func ParseSchemaText(ns uint64, text string) ([]PredicateSchema, []TypeSchema, error) {
	return nil, nil, errors.ErrUnsupported
}

// ParsePredicateSchema reads a stored pb.SchemaUpdate.
func ParsePredicateSchema(p Predicate, schemaUpdate []byte) (PredicateSchema, error) {
	return PredicateSchema{}, errors.ErrUnsupported
}

// AppendUpdate appends s as the pb.SchemaUpdate that is stored, with the name in form f.
func (s *PredicateSchema) AppendUpdate(dst []byte, f Form) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// ParseTypeSchema reads a stored pb.TypeUpdate.
func ParseTypeSchema(name Predicate, typeUpdate []byte) (TypeSchema, error) {
	return TypeSchema{}, errors.ErrUnsupported
}

// AppendUpdate appends t as the pb.TypeUpdate that is stored, with names in form f.
func (t *TypeSchema) AppendUpdate(dst []byte, f Form) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
