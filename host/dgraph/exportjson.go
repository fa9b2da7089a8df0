package dgraph

// What stands before, between and after the objects of a JSON export.
const (
	JSONBegin     = "[\n"
	JSONSeparator = ",\n"
	JSONEnd       = "\n]\n"
)

// AppendJSON appends the objects of the list at k, [JSONSeparator] between them, and
// nothing if k is no KeyData. Between the objects of two lists the caller writes
// JSONSeparator. Errors are those of AppendRDF.
//
// The objects are those of Dgraph's own JSON export, one for each value or edge and
// without "namespace" in form V20:
//
//	{"uid":"0x1","namespace":"0x0","name":"Alice"}
//	{"uid":"0x1","namespace":"0x0","name@ru":"Алиса"}
//	{"uid":"0x1","namespace":"0x0","age":30,"age|sure":"true","age|n":1}
//	{"uid":"0x1","namespace":"0x0","knows":[{"uid":"0x2","knows|via":"work"}]}
//
// Integers and floats are numbers, everything else is a string with the text that
// RDF has: true and false, places and vectors, too. The format is taken from
// what versions 20.11 to 25 do, not from recorded exports. Where theirs is of no use
// to a reader, this one differs: an infinite float is a string, names are
// escaped, and facets of an edge stand with the edge (before 21.03.1 they stood outside
// it, where no Dgraph finds them again).
func (x *Exporter) AppendJSON(dst []byte, k *Key, backupList []byte) ([]byte, error) {
	start := len(dst)
	return x.appendList(dst, k, backupList, func(dst []byte, k *Key, p *post) ([]byte, error) {
		n := len(dst)
		if n > start {
			dst = append(dst, JSONSeparator...)
		}
		out, err := x.appendObject(dst, k, p)
		if len(out) == len(dst) {
			out = out[:n]
		}
		return out, err
	})
}

// appendObject appends one posting, or nothing if its value has no text form.
func (x *Exporter) appendObject(dst []byte, k *Key, p *post) ([]byte, error) {
	start := len(dst)
	dst = append(appendUID(append(dst, `  {"uid":"`...), k.UID), '"')
	if x.form != FormV20 {
		dst = append(appendUID(append(dst, `,"namespace":"`...), k.Namespace), '"')
	}
	dst = appendName(append(dst, `,"`...), k.Name)
	if p.kind == kindRef {
		dst = append(appendUID(append(dst, `":[{"uid":"`...), p.uid), '"')
		dst, lost := x.appendFacets(dst, k, p)
		return append(dst, "}]}"...), lost
	}
	if p.kind == kindLang {
		dst = appendName(append(dst, '@'), p.lang)
	}
	dst = append(dst, `":`...)
	t, err := p.valueType()
	if err != nil {
		return dst[:start], err
	}
	if dst, err = x.appendJSONValue(dst, t, p.value); err != nil {
		return dst[:start], err
	}
	dst, lost := x.appendFacets(dst, k, p)
	return append(dst, '}'), lost
}

func (x *Exporter) appendFacets(dst []byte, k *Key, p *post) (_ []byte, lost error) {
	for f := range p.facets() {
		n := len(dst)
		dst = appendName(append(dst, `,"`...), k.Name)
		dst = appendName(append(dst, '|'), f.key)
		dst = append(dst, `":`...)
		var err error
		if dst, err = f.appendValue(dst, !f.valueType.number() || infinite(f.valueType, f.value), x.shortEscapes); err != nil {
			dst, lost = dst[:n], err
		}
	}
	return dst, lost
}

func (x *Exporter) appendJSONValue(dst []byte, t ValueType, v []byte) ([]byte, error) {
	if t.number() && !infinite(t, v) {
		return appendPlain(dst, t, v)
	}
	return appendQuoted(dst, t, v, x.shortEscapes)
}

// infinite reports whether v is a float that JSON has no number for.
func infinite(t ValueType, v []byte) bool {
	const exponent = 0x7ff0
	return t == ValueFloat && len(v) >= 8 && (uint16(v[7])<<8|uint16(v[6]))&exponent == exponent
}

// appendName appends a name within quotes: as it stands, as far as JSON lets it.
func appendName[S string | []byte](dst []byte, s S) []byte {
	const hex = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
