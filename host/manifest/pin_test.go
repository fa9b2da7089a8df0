package manifest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func aPin() *Pin {
	return &Pin{"a b/ü", 3, time.Date(2026, 11, 21, 4, 18, 13, 5, time.UTC), "before the <great> migration"}
}

func aClosing() *Closing {
	return &Closing{"a_b1", 4, time.Date(2026, 11, 21, 4, 18, 13, 5, time.UTC), []string{dir1, "dgraph.20261121.051813.437"}}
}

// small are the small documents, by the names of what they are.
var small = map[string]struct {
	sample func() ([]byte, any, error)
	parse  func([]byte) (any, error)
}{
	"pin": {
		func() ([]byte, any, error) { data, err := EncodePin(aPin()); return data, aPin(), err },
		func(data []byte) (any, error) { return ParsePin(data) },
	},
	"closing": {
		func() ([]byte, any, error) { data, err := EncodeClosing(aClosing()); return data, aClosing(), err },
		func(data []byte) (any, error) { return ParseClosing(data) },
	},
}

func TestSmallDocumentsReadBack(t *testing.T) {
	for what, doc := range small {
		data, want, err := doc.sample()
		if err != nil {
			t.Fatal(err)
		}
		got, err := doc.parse(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
		for i := range data {
			bad := append([]byte{}, data...)
			bad[i] ^= 1
			if _, err := doc.parse(bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("%s: byte %d is not vouched for: %v", what, i, err)
			}
		}
		if _, err := doc.parse(sign([]byte(`{"format":2,"anything":[]}`))); !errors.Is(err, ErrNewer) {
			t.Errorf("%s of a later format: %v", what, err)
		}
		for _, bad := range []string{`{"format":1}`, `{}`, `[]`, strings.Replace(string(data), `"backup_id"`, `"backup_Id2"`, 1)} {
			if _, err := doc.parse(sign([]byte(bad))); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s %s: %v; want ErrCorrupt", what, bad, err)
			}
		}
		if IsClosing(data) != (what == "closing") {
			t.Errorf("IsClosing(%s) = %v", what, IsClosing(data))
		}
	}
}

func TestPinThatCannotBeRead(t *testing.T) {
	for _, change := range []func(*Pin){
		func(p *Pin) { p.Series = "" },
		func(p *Pin) { p.Number = -1 },
		func(p *Pin) { p.Reason = "two\nlines" },
		func(p *Pin) { p.Reason = "\xff" },
		func(p *Pin) { p.Reason = strings.Repeat("x", MaxReason+1) },
	} {
		p := aPin()
		change(p)
		if data, err := EncodePin(p); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s, %v; want ErrUnfit", data, err)
		}
	}
}

func TestPinNames(t *testing.T) {
	for name, want := range map[string]int{
		PinName("a_b1", 0):         0,
		PinName("../etc", 12):      12,
		"brock/a_b1/pin-01.json":   -1,
		"brock/a_b1/pin--1.json":   -1,
		"brock/a_b1/pin-.json":     -1,
		"brock/pin-1.json":         -1,
		"other/a_b1/pin-1.json":    -1,
		"brock/a_b1/c/pin-1.json":  -1,
		KeyRecordName("a_b1", 1):   -1,
		RecordName("a_b1", 1):      -1,
		"brock/a_b1/pin-1.json.gz": -1,
	} {
		n, ok := IsPin(name)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("IsPin(%s) = %d, %v; want %d", name, n, ok, want)
		}
	}
	if got := PinName("a_b1", 3); got != "brock/a_b1/pin-3.json" {
		t.Errorf("got %s", got)
	}
}

func FuzzParseSmall(f *testing.F) {
	for _, doc := range small {
		data, _, err := doc.sample()
		if err != nil {
			f.Fatal(err)
		}
		object, err := signed(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		if len(object) == 0 || object[len(object)-1] != '}' {
			return
		}
		if p, err := ParsePin(sign(object)); err == nil {
			if _, err := EncodePin(p); err != nil {
				t.Fatalf("%+v is read and cannot be written: %v", p, err)
			}
		}
		if c, err := ParseClosing(sign(object)); err == nil {
			if _, err := EncodeClosing(c); err != nil {
				t.Fatalf("%+v is read and cannot be written: %v", c, err)
			}
		}
	})
}
