package dgraph

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// ErrNoText means that a value or a facet has no text form: its bytes are not
// what its type says, or are a moment outside the years 0 to 9999, or a place
// at infinity. Dgraph's own export leaves such a value out, too. And so does this one
// a big float beyond 1e±4932, which could take seconds to write.
var ErrNoText = errors.New("no text form")

// A ValueType is the type of a value, as postings and schema entries number it.
type ValueType uint64

// The types of values (dgraph-format.md, section 2.7).
const (
	ValueDefault  ValueType = 0
	ValueBinary   ValueType = 1
	ValueInt      ValueType = 2
	ValueFloat    ValueType = 3
	ValueBool     ValueType = 4
	ValueDatetime ValueType = 5
	ValueGeo      ValueType = 6
	ValueUID      ValueType = 7
	ValuePassword ValueType = 8
	ValueString   ValueType = 9
	ValueBigFloat ValueType = 11
	ValueVector   ValueType = 12
)

// Name is what a schema calls t; "" for what no schema can hold.
func (t ValueType) Name() string { return t.name() }

// name is what a schema calls t; "" for what no schema can hold.
func (t ValueType) name() string {
	switch t {
	case ValueDefault:
		return "default"
	case ValueBinary:
		return "binary"
	case ValueInt:
		return "int"
	case ValueFloat:
		return "float"
	case ValueBool:
		return "bool"
	case ValueDatetime:
		return "datetime"
	case ValueGeo:
		return "geo"
	case ValueUID:
		return "uid"
	case ValuePassword:
		return "password"
	case ValueString:
		return "string"
	case ValueBigFloat:
		return "bigfloat"
	case ValueVector:
		return "float32vector"
	}
	return ""
}

// rdf is the datatype that RDF text gives values of t; "" for the default type,
// which has none.
func (t ValueType) rdf() string {
	switch t {
	case ValueBinary:
		return "xs:base64Binary"
	case ValueInt:
		return "xs:int"
	case ValueFloat:
		return "xs:float"
	case ValueBool:
		return "xs:boolean"
	case ValueDatetime:
		return "xs:dateTime"
	case ValueGeo:
		return "geo:geojson"
	case ValuePassword:
		return "xs:password"
	case ValueString:
		return "xs:string"
	case ValueBigFloat:
		return "xs:decimal"
	case ValueVector:
		return "xs:[]float32"
	}
	return ""
}

// text reports whether values of t are stored as the text that they are.
func (t ValueType) text() bool {
	return t == ValueDefault || t == ValueString || t == ValuePassword || t == ValueBinary
}

// number reports whether values of t stand in JSON without quotes. Big floats,
// which other readers would round, do not.
func (t ValueType) number() bool { return t == ValueInt || t == ValueFloat }

// appendQuoted appends the value v of type t as a JSON string, which is how RDF
// text holds every value. shortEscapes is as in appendString.
func appendQuoted(dst []byte, t ValueType, v []byte, shortEscapes bool) ([]byte, error) {
	if t.text() {
		return appendString(dst, bytes.TrimRight(v, "\x00"), shortEscapes), nil
	}
	n := len(dst)
	dst, err := appendPlain(append(dst, '"'), t, v)
	if err != nil {
		return dst[:n], err
	}
	return append(dst, '"'), nil
}

// appendPlain appends the text of a value whose type is not text itself. Nothing in
// it needs an escape. After an error dst is as it was.
func appendPlain(dst []byte, t ValueType, v []byte) ([]byte, error) {
	switch t {
	case ValueInt:
		if len(v) >= 8 {
			return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(v)), 10), nil
		}
	case ValueFloat:
		if len(v) >= 8 {
			return strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(v)), 'G', -1, 64), nil
		}
	case ValueBool:
		if len(v) > 0 && v[0] <= 1 {
			return strconv.AppendBool(dst, v[0] == 1), nil
		}
	case ValueDatetime:
		return appendTime(dst, v)
	case ValueGeo:
		return appendGeo(dst, v)
	case ValueBigFloat:
		return appendBigFloat(dst, v)
	case ValueVector:
		return appendVector(dst, v), nil
	}
	return dst, fmt.Errorf("%w: %d bytes as %s", ErrNoText, len(v), t.String())
}

// String is what a schema calls t.
func (t ValueType) String() string {
	if s := t.name(); s != "" {
		return s
	}
	return "type " + strconv.FormatUint(uint64(t), 10)
}

func appendTime(dst, v []byte) ([]byte, error) {
	var t time.Time
	if err := t.UnmarshalBinary(v); err != nil {
		return dst, fmt.Errorf("%w: %d bytes as datetime", ErrNoText, len(v))
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return dst, fmt.Errorf("%w: datetime in the year %d", ErrNoText, y)
	}
	return t.AppendFormat(dst, time.RFC3339Nano), nil
}

// appendBigFloat appends ten significant digits, which is all that Dgraph's
// own export writes of a big float: the rest is in the backup only.
func appendBigFloat(dst, v []byte) ([]byte, error) {
	var f big.Float
	f.SetPrec(bigPrecision)
	if len(v) > bigLongest || f.UnmarshalText(v) != nil {
		return dst, fmt.Errorf("%w: %d bytes as bigfloat", ErrNoText, len(v))
	}
	if e := f.MantExp(nil); e > bigLargest || e < -bigLargest {
		return dst, fmt.Errorf("%w: bigfloat with the exponent %d", ErrNoText, e)
	}
	return f.Append(dst, 'g', 10), nil
}

func appendVector(dst, v []byte) []byte {
	dst = append(dst, '[')
	for i := 0; len(v) >= 4; i, v = i+1, v[4:] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 'f', -1, 32)
	}
	return append(dst, ']')
}

// appendGeo turns WKB into GeoJSON with ' for ", Dgraph's way to put it into
// a string.
func appendGeo(dst, v []byte) ([]byte, error) {
	w := wkb{rest: v}
	out := w.geometry(dst, 0, 0)
	if w.bad {
		return dst, fmt.Errorf("%w: %d bytes as geo", ErrNoText, len(v))
	}
	return out, nil
}

// A wkb reads well-known binary and writes what it reads.
type wkb struct {
	rest []byte
	bad  bool // sticky: the bytes are cut short or no geometry
	big  bool // byte order of the geometry being read
	dims int  // coordinates of a point
}

// Numbers of geometries. With 1000, 2000 or 3000 added, points have Z, M, or both.
const (
	wkbPoint = iota + 1
	wkbLineString
	wkbPolygon
	wkbMultiPoint
	wkbMultiLineString
	wkbMultiPolygon
	wkbCollection
)

var geoNames = [...]string{"", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}

// geometry writes the geometry that is next. A member of a multi-geometry must be
// of the one kind that fits, want, and only its coordinates are written.
func (w *wkb) geometry(dst []byte, want, depth int) []byte {
	const deepest = 64 // collections in collections
	order := w.take(1)
	if w.bad || order[0] > 1 || depth > deepest {
		w.bad = true
		return dst
	}
	w.big = order[0] == 0
	n := int(w.uint32())
	kind, dims := n%1000, [...]int{2, 3, 3, 4, 0}[min(n/1000, 4)]
	switch {
	case w.bad, dims == 0, kind < wkbPoint, kind > wkbCollection, want != 0 && (kind != want || dims != w.dims):
		w.bad = true
		return dst
	}
	w.dims = dims
	if want == 0 {
		dst = append(dst, "{'type':'"...)
		dst = append(dst, geoNames[kind]...)
		if kind == wkbCollection {
			dst = append(dst, "','geometries':"...)
		} else {
			dst = append(dst, "','coordinates':"...)
		}
	}
	switch kind {
	case wkbPoint:
		dst = w.point(dst)
	case wkbLineString:
		dst = w.list(dst, (*wkb).point)
	case wkbPolygon:
		dst = w.list(dst, func(w *wkb, dst []byte) []byte { return w.list(dst, (*wkb).point) })
	case wkbCollection:
		dst = w.list(dst, func(w *wkb, dst []byte) []byte { return w.geometry(dst, 0, depth+1) })
	default:
		member := kind - wkbMultiPoint + wkbPoint
		dst = w.list(dst, func(w *wkb, dst []byte) []byte { return w.geometry(dst, member, depth+1) })
	}
	if want == 0 {
		dst = append(dst, '}')
	}
	return dst
}

// list writes a count's worth of elements. One that lies about its count runs
// out of bytes: each element takes at least four of them.
func (w *wkb) list(dst []byte, element func(*wkb, []byte) []byte) []byte {
	dst = append(dst, '[')
	for i, n := uint32(0), w.uint32(); i < n && !w.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = element(w, dst)
	}
	return append(dst, ']')
}

func (w *wkb) point(dst []byte) []byte {
	b := w.take(8 * w.dims)
	if w.bad {
		return dst
	}
	dst = append(dst, '[')
	for i := 0; i < len(b); i += 8 {
		if i > 0 {
			dst = append(dst, ',')
		}
		bits := binary.LittleEndian.Uint64(b[i:])
		if w.big {
			bits = binary.BigEndian.Uint64(b[i:])
		}
		f := math.Float64frombits(bits)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			w.bad = true
			return dst
		}
		dst = appendJSONFloat(dst, f)
	}
	return append(dst, ']')
}

func (w *wkb) uint32() uint32 {
	b := w.take(4)
	switch {
	case w.bad:
		return 0
	case w.big:
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (w *wkb) take(n int) []byte {
	if w.bad || len(w.rest) < n {
		w.bad = true
		return nil
	}
	b := w.rest[:n]
	w.rest = w.rest[n:]
	return b
}

// appendJSONFloat writes f as encoding/json does: like ECMAScript, without
// a zero before the exponent's digit.
func appendJSONFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst = slices.Delete(dst, n-2, n-1)
	}
	return dst
}

// appendString appends s as a JSON string, as encoding/json does: with <, >, &,
// U+2028 and U+2029 escaped, and \ufffd for each byte that is no UTF-8.
//
// Backspace and form feed are \b and \f from Go 1.22 on, with which Dgraph 24 and
// later are built, and \u0008 and \u000c before: shortEscapes tells which.
func appendString[S string | []byte](dst []byte, s S, shortEscapes bool) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainByte[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := decodeRune(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(append(dst, s[start:i]...), `\ufffd`...)
			case r == 0x2028 || r == 0x2029:
				dst = append(append(dst, s[start:i]...), `\u202`...)
				dst = append(dst, hex[r&0xf])
			default:
				i += size
				continue
			}
			i += size
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\b' && shortEscapes:
			dst = append(dst, `\b`...)
		case c == '\f' && shortEscapes:
			dst = append(dst, `\f`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func decodeRune[S string | []byte](s S) (rune, int) {
	// Converting up to four bytes does not allocate.
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}

// plainByte holds the bytes that a JSON string takes as they are.
var plainByte = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()
