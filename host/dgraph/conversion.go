package dgraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
)

// Convert returns v as a value of type to, as Dgraph does when the schema wants it. Text
// becomes anything that it can be read as, and a password's text its hash; anything
// but an edge becomes text; numbers, truths and moments become each other where that
// means something.
func (v Value) Convert(to ValueType) (Value, error) {
	if v.Type == to {
		return v, nil
	}
	data, err := v.convert(to)
	if err != nil {
		return Value{}, v.conversionError(to, err)
	}
	return Value{Type: to, Data: data}, nil
}

var errNoConversion = errors.New("values of that type are not converted")

func (v Value) conversionError(to ValueType, reason error) error {
	if v.Type == ValuePassword {
		return fmt.Errorf("%w %s: a %s: %w", ErrValue, to.String(), v.Type.String(), reason)
	}
	text, err := v.AppendText(nil)
	if err != nil {
		text = fmt.Appendf(nil, "%x", v.Data[:min(len(v.Data), 20)])
	}
	return valueError(to, string(text), v.Type.String(), reason)
}

func (v Value) convert(to ValueType) ([]byte, error) {
	switch {
	case to == ValueUID || v.Type == ValueUID:
		return nil, errNoConversion
	case v.Type == ValueDefault || v.Type == ValueString:
		if to == ValuePassword {
			return hashPassword(string(v.Data))
		}
		return parseText(to, string(v.Data))
	case to == ValueDefault || to == ValueString:
		return v.AppendText(nil)
	case to == ValueBinary:
		return v.Data, nil
	case v.Type == ValueBinary:
		_, err := Value{Type: to, Data: v.Data}.AppendText(nil)
		return v.Data, err
	}
	switch v.Type {
	case ValueInt:
		return v.fromInt(to)
	case ValueFloat:
		return v.fromFloat(to)
	case ValueBool:
		return v.fromBool(to)
	case ValueDatetime:
		return v.fromTime(to)
	case ValueBigFloat:
		return v.fromBigFloat(to)
	}
	return nil, errNoConversion
}

func (v Value) fromInt(to ValueType) ([]byte, error) {
	u, err := v.bits()
	n := int64(u)
	switch {
	case err != nil:
		return nil, err
	case to == ValueFloat:
		return floatData(float64(n)), nil
	case to == ValueBool:
		return boolData(n != 0), nil
	case to == ValueDatetime:
		return timeData(time.Unix(n, 0).UTC())
	case to == ValueBigFloat:
		return bigData(new(big.Float).SetPrec(bigPrecision).SetInt64(n))
	}
	return nil, errNoConversion
}

func (v Value) fromFloat(to ValueType) ([]byte, error) {
	f, err := v.float()
	switch {
	case err != nil:
		return nil, err
	case to == ValueBool:
		return boolData(f != 0), nil
	case to == ValueInt:
		n, err := wholeNumber(f)
		return intData(n), err
	case to == ValueDatetime:
		s, err := wholeNumber(f)
		if err != nil {
			return nil, err
		}
		return timeData(time.Unix(s, int64((f-float64(s))*1e9)).UTC())
	case to == ValueBigFloat && !math.IsNaN(f):
		return bigData(new(big.Float).SetPrec(bigPrecision).SetFloat64(f))
	}
	return nil, errNoConversion
}

// wholeNumber cuts off what is after the point.
func wholeNumber(f float64) (int64, error) {
	if !(f >= -1<<63 && f < 1<<63) { // so that NaN is none
		return 0, strconv.ErrRange
	}
	return int64(f), nil
}

func (v Value) fromBool(to ValueType) ([]byte, error) {
	if len(v.Data) == 0 || v.Data[0] > 1 {
		return nil, ErrNoText
	}
	switch to {
	case ValueInt:
		return intData(int64(v.Data[0])), nil
	case ValueFloat:
		return floatData(float64(v.Data[0])), nil
	}
	return nil, errNoConversion
}

func (v Value) fromTime(to ValueType) ([]byte, error) {
	var t time.Time
	if err := t.UnmarshalBinary(v.Data); err != nil {
		return nil, ErrNoText
	}
	switch to {
	case ValueInt:
		return intData(t.Unix()), nil
	case ValueFloat:
		if y := t.Year(); y < 1679 || y > 2261 { // beyond, nanoseconds overflow
			return floatData(float64(t.Unix()) + float64(t.Nanosecond())/1e9), nil
		}
		return floatData(float64(t.UnixNano()) / 1e9), nil
	}
	return nil, errNoConversion
}

func (v Value) fromBigFloat(to ValueType) ([]byte, error) {
	f, err := v.bigFloat()
	switch {
	case err != nil:
		return nil, err
	case to == ValueInt:
		n, _ := f.Int64()
		if whole, _ := f.Int(nil); !whole.IsInt64() {
			return nil, strconv.ErrRange
		}
		return intData(n), nil
	case to == ValueFloat:
		g, _ := f.Float64()
		if math.IsInf(g, 0) {
			return nil, strconv.ErrRange
		}
		return floatData(g), nil
	case to == ValueBool:
		return boolData(f.Sign() != 0), nil
	}
	return nil, errNoConversion
}

func (v Value) bits() (uint64, error) {
	if len(v.Data) < 8 {
		return 0, fmt.Errorf("%w: %d bytes as %s", ErrNoText, len(v.Data), v.Type.String())
	}
	return binary.LittleEndian.Uint64(v.Data), nil
}

func (v Value) float() (float64, error) {
	u, err := v.bits()
	return math.Float64frombits(u), err
}

// bigFloat refuses what appendBigFloat does, and infinity.
func (v Value) bigFloat() (*big.Float, error) {
	if _, err := appendBigFloat(nil, v.Data); err != nil {
		return nil, err
	}
	f := new(big.Float).SetPrec(bigPrecision)
	if err := f.UnmarshalText(v.Data); err != nil || f.IsInf() {
		return nil, fmt.Errorf("%w: bigfloat at infinity", ErrNoText)
	}
	return f, nil
}
