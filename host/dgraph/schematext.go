package dgraph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A typeText is a type as schema text has it, in pieces.
type typeText struct {
	head   string   // up to and including "{"
	fields []string // in their order in the database
}

// AddSchema makes the schema of a predicate, a pb.SchemaUpdate as backups and Badger
// hold it, part of the schema text. Of two for one predicate the later counts.
func (x *Exporter) AddSchema(name Predicate, schemaUpdate []byte) error {
	label, err := x.label(name)
	if err != nil {
		return err
	}
	var s schemaText
	if err := s.parse(schemaUpdate); err != nil {
		return fmt.Errorf("schema of %s: %w", name, err)
	}
	x.schema[name] = label + "<" + name.Name + ">:" + s.String() + " ."
	return nil
}

// AddType makes a type, a pb.TypeUpdate, part of the schema text. Names of
// fields in it are in form from. Every group of a cluster holds all types and Dgraph's
// export shows each once a group: what is added twice is there twice.
func (x *Exporter) AddType(name Predicate, typeUpdate []byte, from Form) error {
	label, err := x.label(name)
	if err != nil {
		return err
	}
	t := typeText{head: label + "type <" + name.Name + "> {"}
	err = eachField(typeUpdate, func(f *field) error {
		if !f.is(2, protowire.BytesType) {
			return nil
		}
		return eachField(f.b, func(f *field) error {
			if f.is(1, protowire.BytesType) {
				n := recognise(from, string(f.b), name.Namespace).Name
				if strings.HasPrefix(n, "~") {
					n = "<" + n + ">"
				}
				t.fields = append(t.fields, n)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("type %s: %w", name, err)
	}
	x.types = append(x.types, t)
	return nil
}

// AppendSchema appends the schema of what was added so that it can be compared: a line
// for each predicate and each type, in the order of their bytes, and so the fields of
// a type.
//
//	[0x0] <name>:string @index(exact,term) @count @lang @upsert @unique .
//	[0x0] <friends>:[uid] @reverse .
//	[0x0] <shape>:float32vector @index(hnsw(metric:"cosine")) .
//	[0x0] type <Person> { <~boss> friends name }
//
// Form V20 has no namespace in front. Dgraph does not read types from one
// line: see AppendSchemaFile.
func (x *Exporter) AppendSchema(dst []byte) []byte {
	lines := slices.Collect(maps.Values(x.schema))
	for _, t := range x.types {
		lines = append(lines, strings.Join(slices.Concat([]string{t.head}, slices.Sorted(slices.Values(t.fields)), []string{"}"}), " "))
	}
	slices.Sort(lines)
	for _, line := range lines {
		dst = append(append(dst, line...), '\n')
	}
	return dst
}

// AppendSchemaFile appends the same schema as the file that Dgraph's export writes and
// its loaders read: predicates, then types, each with its fields in their order on
// lines of their own, and a blank before the end of a predicate's line.
func (x *Exporter) AppendSchemaFile(dst []byte) []byte {
	for _, line := range slices.Sorted(maps.Values(x.schema)) {
		dst = append(append(dst, line...), " \n"...)
	}
	types := slices.SortedStableFunc(slices.Values(x.types), func(a, b typeText) int { return strings.Compare(a.head, b.head) })
	for _, t := range types {
		dst = append(append(dst, t.head...), '\n')
		for _, f := range t.fields {
			dst = append(append(append(dst, '\t'), f...), '\n')
		}
		dst = append(dst, "}\n"...)
	}
	return dst
}

// label is what stands before name: its namespace, in forms that have namespaces.
func (x *Exporter) label(name Predicate) (string, error) {
	switch {
	case x.form != FormV20:
		return fmt.Sprintf("[%#x] ", name.Namespace), nil
	case name.Namespace != 0:
		return "", fmt.Errorf("%w %s: %s is in namespace %#x, and Dgraph 20 has none", ErrForm, x.form, name, name.Namespace)
	}
	return "", nil
}

// A schemaText is what a schema's text says of a predicate. There is more in the
// message that no version of Dgraph exports, as @noconflict.
type schemaText struct {
	ValueType      ValueType
	index, reverse bool
	tokenizers     []string
	vectors        []string // name(key:"value",...)

	list, count, lang, upsert, unique bool
}

func (s *schemaText) parse(b []byte) error {
	return eachField(b, func(f *field) error {
		switch {
		case f.is(2, protowire.VarintType):
			s.ValueType = ValueType(f.u)
		case f.is(3, protowire.VarintType):
			s.index, s.reverse = f.u == 1, f.u == 2
		case f.is(4, protowire.BytesType):
			s.tokenizers = append(s.tokenizers, string(f.b))
		case f.is(5, protowire.VarintType):
			s.count = f.u != 0
		case f.is(6, protowire.VarintType):
			s.list = f.u != 0
		case f.is(8, protowire.VarintType):
			s.upsert = f.u != 0
		case f.is(9, protowire.VarintType):
			s.lang = f.u != 0
		case f.is(14, protowire.VarintType):
			s.unique = f.u != 0
		case f.is(15, protowire.BytesType):
			v, err := vectorText(f.b)
			s.vectors = append(s.vectors, v)
			return err
		}
		return nil
	})
}

// vectorText reads a pb.VectorIndexSpec.
func vectorText(b []byte) (string, error) {
	var name string
	var options []string
	err := eachField(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			name = string(f.b)
		case f.is(2, protowire.BytesType):
			var key, value string
			err := eachField(f.b, func(f *field) error {
				switch {
				case f.is(1, protowire.BytesType):
					key = string(f.b)
				case f.is(2, protowire.BytesType):
					value = string(f.b)
				}
				return nil
			})
			options = append(options, key+`:"`+value+`"`)
			return err
		}
		return nil
	})
	return name + "(" + strings.Join(options, ",") + ")", err
}

// String is what stands between the name of a predicate and the end of its line.
func (s *schemaText) String() string {
	text := s.ValueType.name()
	if s.list {
		text = "[" + text + "]"
	}
	switch {
	case s.reverse:
		text += " @reverse"
	case s.index && len(s.tokenizers) > 0:
		text += " @index(" + strings.Join(s.tokenizers, ",") + ")"
	case len(s.vectors) > 0:
		text += " @index(" + strings.Join(s.vectors, ",") + ")"
	}
	for _, d := range []struct {
		set  bool
		text string
	}{{s.count, " @count"}, {s.lang, " @lang"}, {s.upsert, " @upsert"}, {s.unique, " @unique"}} {
		if d.set {
			text += d.text
		}
	}
	return text
}

// eachField calls do for every field of a message.
func eachField(msg []byte, do func(*field) error) error {
	for f := (field{}); len(msg) > 0; {
		rest, err := nextField(msg, &f)
		if err != nil {
			return err
		}
		msg = rest
		if err := do(&f); err != nil {
			return err
		}
	}
	return nil
}
