package dgraph

import "errors"

// A Value is one value as a posting holds it.
type Value struct {
	Type ValueType
	Data []byte // encoded as dgraph-format.md, section 2.8 says
}

// ErrValue means that a text, or a value of another type, is no value of the type
// that is wanted.
var ErrValue = errors.New("not a value of the type")

// ParseValue reads the text of a literal as a value of type t.
func ParseValue(t ValueType, text string) (Value, error) {
	return Value{}, errors.ErrUnsupported
}

// Convert returns v as a value of type to, as Dgraph does when the schema wants it.
func (v Value) Convert(to ValueType) (Value, error) {
	return Value{}, errors.ErrUnsupported
}

// AppendJSON appends v as a query's answer holds it.
func (v Value) AppendJSON(dst []byte) ([]byte, error) {
	return dst, errors.ErrUnsupported
}

// AppendText appends v as RDF text holds it, without quotes.
func (v Value) AppendText(dst []byte) ([]byte, error) {
	return dst, errors.ErrUnsupported
}
