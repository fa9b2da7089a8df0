package dgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A Value is one value as a posting holds it.
type Value struct {
	Type ValueType
	Data []byte // encoded as dgraph-format.md, section 2.8 says
}

// ErrValue means that a text, or a value of another type, is no value of the type
// that is wanted.
var ErrValue = errors.New("not a value of the type")

// ParseValue reads the text of a literal as a value of type t.
//
// A password is hashed, unless the text is a bcrypt hash, which is how exports hold one.
func ParseValue(t ValueType, text string) (Value, error) {
	data, err := parseText(t, text)
	if err != nil {
		return Value{}, valueError(t, text, "", err)
	}
	return Value{Type: t, Data: data}, nil
}

// valueError says what text cannot be. No password is part of it.
func valueError(t ValueType, text, from string, reason error) error {
	if errors.Is(reason, errPassword) {
		return fmt.Errorf("%w %s: %w", ErrValue, t.String(), reason)
	}
	text = shorten(text)
	if from != "" {
		from = " (" + from + ")"
	}
	if reason == nil {
		return fmt.Errorf("%w %s: %q%s", ErrValue, t.String(), text, from)
	}
	return fmt.Errorf("%w %s: %q%s: %w", ErrValue, t.String(), text, from, reason)
}

// shorten cuts text for an error.
func shorten(text string) string {
	const longest = 40
	if r := []rune(text[:min(len(text), 4*longest+4)]); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return text
}

func parseText(t ValueType, text string) ([]byte, error) {
	switch t {
	case ValueDefault, ValueString, ValueBinary:
		return []byte(text), nil
	case ValueInt:
		n, err := strconv.ParseInt(text, 10, 64)
		return intData(n), numberError(err)
	case ValueFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && math.IsNaN(f) {
			err = errors.New("not a number")
		}
		return floatData(f), numberError(err)
	case ValueBool:
		b, err := strconv.ParseBool(text)
		return boolData(b), numberError(err)
	case ValueDatetime:
		return parseTime(text)
	case ValueGeo:
		return parseGeo(text)
	case ValuePassword:
		if _, err := bcrypt.Cost([]byte(text)); err == nil {
			return []byte(text), nil
		}
		return hashPassword(text)
	case ValueBigFloat:
		return parseBigFloat(text)
	case ValueVector:
		return parseVector(text)
	}
	return nil, errors.New("no text stands for one")
}

// numberError is what strconv has to say beside the text itself.
func numberError(err error) error {
	if e := (*strconv.NumError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func intData(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func floatData(f float64) []byte {
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))
}

func boolData(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly, "2006-01", "2006"}

func parseTime(text string) ([]byte, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return timeData(t)
		}
	}
	return nil, errors.New("write it as 2006-01-02T15:04:05Z, with or without a zone, or as 2006-01-02, 2006-01 or 2006")
}

// timeData refuses years that RFC 3339 cannot write: no answer could show them.
func timeData(t time.Time) ([]byte, error) {
	if y := t.Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("it is in the year %d, and years are from 0 to 9999", y)
	}
	return t.MarshalBinary()
}

var errPassword = errors.New("a password has 6 to 72 bytes")

func hashPassword(text string) ([]byte, error) {
	if len(text) < 6 || len(text) > 72 {
		return nil, errPassword
	}
	return bcrypt.GenerateFromPassword([]byte(text), bcrypt.DefaultCost)
}

// Bounds of big floats.
const (
	bigPrecision = 200     // bits that Dgraph computes with
	bigLongest   = 256     // bytes; what those bits need is a third of it
	bigLargest   = 1 << 14 // binary exponent; printing takes its square in time, and 2^31 is possible
)

func parseBigFloat(text string) ([]byte, error) {
	if len(text) > bigLongest {
		return nil, fmt.Errorf("it is longer than %d bytes", bigLongest)
	}
	f, _, err := big.ParseFloat(text, 10, bigPrecision, big.ToNearestEven)
	if err != nil {
		return nil, errors.New("invalid syntax")
	}
	return bigData(f)
}

func bigData(f *big.Float) ([]byte, error) {
	if e := f.MantExp(nil); f.IsInf() || e > bigLargest || e < -bigLargest {
		return nil, strconv.ErrRange
	}
	return f.MarshalText()
}

// parseVector reads numbers between [ and ], with commas or blanks between them.
func parseVector(text string) ([]byte, error) {
	inner, begins := strings.CutPrefix(strings.TrimSpace(text), "[")
	inner, ends := strings.CutSuffix(inner, "]")
	if !begins || !ends {
		return nil, errors.New("write it as [1.0, 2.0]")
	}
	var data []byte
	for part := range strings.FieldsFuncSeq(inner, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		f, err := strconv.ParseFloat(part, 32)
		if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
			err = errors.New("not a number")
		}
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(data)/4, numberError(err))
		}
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(f)))
	}
	return data, nil
}

// AppendText appends the text of v, which [ParseValue] reads.
func (v Value) AppendText(dst []byte) ([]byte, error) {
	switch {
	case v.Type.text():
		return append(dst, v.Data...), nil
	case v.Type == ValueBigFloat:
		f, err := v.bigFloat()
		if err != nil {
			return dst, err
		}
		return f.Append(dst, 'g', -1), nil
	}
	return appendPlain(dst, v.Type, v.Data)
}

// AppendJSON appends v as a query's answer holds it: a float with six digits after the
// point, as Dgraph writes it, or with all of its digits if those are too few.
func (v Value) AppendJSON(dst []byte) ([]byte, error) {
	switch v.Type {
	case ValueFloat:
		f, err := v.float()
		switch {
		case err != nil:
			return dst, err
		case math.IsNaN(f) || math.IsInf(f, 0):
			return dst, fmt.Errorf("%w: JSON has no %v", ErrNoText, f)
		}
		n := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', 6, 64)
		if back, _ := strconv.ParseFloat(string(dst[n:]), 64); back != f {
			return appendJSONFloat(dst[:n], f), nil
		}
		return dst, nil
	case ValueInt, ValueBool, ValueBigFloat:
		return v.AppendText(dst)
	case ValueVector:
		for b := v.Data; len(b) >= 4; b = b[4:] {
			if f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b))); math.IsNaN(f) || math.IsInf(f, 0) {
				return dst, fmt.Errorf("%w: JSON has no %v", ErrNoText, f)
			}
		}
		return v.AppendText(dst)
	case ValueGeo:
		n := len(dst)
		dst, err := v.AppendText(dst)
		for i := n; i < len(dst); i++ {
			if dst[i] == '\'' {
				dst[i] = '"'
			}
		}
		return dst, err
	case ValueUID:
		return dst, fmt.Errorf("%w: %d bytes as uid", ErrNoText, len(v.Data))
	}
	return appendQuoted(dst, v.Type, v.Data, true)
}
