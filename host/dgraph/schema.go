package dgraph

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of pb.SchemaUpdate and pb.TypeUpdate that hold names.
const (
	schemaPredicate = 1
	typeName        = 1
	typeFields      = 2
)

// ConvertSchema appends the pb.SchemaUpdate value of predicate p with p's name in form
// to. It does not matter in which form the value has it: values of predicates
// that a restore brought from Dgraph 20 into a later version have it bare. All
// else stays, also what no Dgraph known today writes.
func ConvertSchema(dst, value []byte, p Predicate, to Form) ([]byte, error) {
	name, err := p.append(nil, to)
	if err != nil {
		return dst, err
	}
	out, err := appendRenamed(dst, value, name, nil)
	if err != nil {
		return dst, fmt.Errorf("schema of %s: %w", p, err)
	}
	return out, nil
}

// ConvertType appends the pb.TypeUpdate value of the type name, with the name and those of
// its fields in form to. From FormV20 names are bare; from another form each field's
// name is recognised on its own, and a bare one lies in the type's namespace.
func ConvertType(dst, value []byte, name Predicate, from, to Form) ([]byte, error) {
	text, err := name.append(nil, to)
	if err != nil {
		return dst, err
	}
	out, err := appendRenamed(dst, value, text, func(f *field) ([]byte, error) {
		if !f.is(typeFields, protowire.BytesType) {
			return f.raw, nil
		}
		field, err := fieldName(f.b)
		if err != nil {
			return nil, err
		}
		text, err := recognise(from, field, name.Namespace).append(nil, to)
		if err != nil {
			return nil, err
		}
		update, err := appendRenamed(nil, f.b, text, nil)
		return appendBytesField(nil, typeFields, update), err
	})
	if err != nil {
		return dst, fmt.Errorf("type %s: %w", name, err)
	}
	return out, nil
}

// fieldName returns the predicate that a field of a type names.
func fieldName(update []byte) (string, error) {
	var f field
	for len(update) > 0 {
		var err error
		if update, err = nextField(update, &f); err != nil {
			return "", err
		}
		if f.is(schemaPredicate, protowire.BytesType) && len(f.b) > 0 {
			return string(f.b), nil
		}
	}
	return "", fmt.Errorf("%w: a field without a name", ErrCorrupt)
}

// appendRenamed appends msg with field 1 set to name and, as Dgraph's marshaller
// has them, fields in the order of their numbers. change, if not nil, gives the
// bytes of each other field.
func appendRenamed(dst, msg, name []byte, change func(*field) ([]byte, error)) ([]byte, error) {
	type raw struct {
		num protowire.Number
		b   []byte
	}
	var (
		fields []raw
		f      field
		err    error
	)
	for len(msg) > 0 {
		if msg, err = nextField(msg, &f); err != nil {
			return nil, err
		}
		if f.num == 1 {
			continue
		}
		b := f.raw
		if change != nil {
			if b, err = change(&f); err != nil {
				return nil, err
			}
		}
		fields = append(fields, raw{f.num, b})
	}
	slices.SortStableFunc(fields, func(a, b raw) int { return cmp.Compare(a.num, b.num) })
	dst = appendBytesField(dst, 1, name)
	for _, f := range fields {
		dst = append(dst, f.b...)
	}
	return dst, nil
}
