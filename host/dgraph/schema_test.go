package dgraph

import (
	"bytes"
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

func TestSchemaChangesNothingButTheName(t *testing.T) {
	p := Predicate{0x1f, "name"}
	rest := "\x10\x09\x18\x01\x22\x05exact\xfa\x07\x01x" // the last is a field of the future
	v23, v21 := "\x0a\x071f-name"+rest, "\x0a\x0c\x00\x00\x00\x00\x00\x00\x00\x1fname"+rest
	for _, c := range []struct {
		value string
		to    Form
		want  string
	}{
		{v23, FormV23, v23},
		{v23, FormV21, v21},
		{v21, FormV23, v23},
		{"\x0a\x04name" + rest, FormV23, v23},
		{"\x10\x09\x0a\x04name\x18\x01\x22\x05exact\xfa\x07\x01x", FormV23, v23}, // brought into order
		{rest, FormV23, v23},
	} {
		got, err := ConvertSchema([]byte("x"), []byte(c.value), p, c.to)
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("ConvertSchema(%x, %s) = %x, %v; want %x", c.value, c.to, got, err, c.want)
		}
	}
	if got, err := ConvertSchema(nil, []byte(v23), p, FormV20); !errors.Is(err, ErrForm) {
		t.Errorf("ConvertSchema to v20 = %x, %v; want ErrForm", got, err)
	}
	if got, err := ConvertSchema(nil, []byte(v23[:5]), p, FormV23); !errors.Is(err, ErrCorrupt) {
		t.Errorf("ConvertSchema of a torn value = %x, %v; want ErrCorrupt", got, err)
	}
}

func TestTypesOfEachForm(t *testing.T) {
	of := func(name string, fields ...string) []byte {
		b := appendBytesField(nil, 1, []byte(name))
		for _, f := range fields {
			// A field of SchemaUpdate besides the name, and one of the future.
			b = appendBytesField(b, 2, append(appendBytesField(nil, 1, []byte(f)), "\x10\x09\xfa\x07\x01x"...))
		}
		return append(b, "\xf8\x07\x05"...)
	}
	ns1f := "\x00\x00\x00\x00\x00\x00\x00\x1f"
	t0, t1f := Predicate{0, "Person"}, Predicate{0x1f, "Person"}
	v20 := of("Person", "name", "a-b", "~boss")
	v21 := of(ns0+"Person", ns0+"name", ns0+"a-b", ns0+"~boss")
	v23 := of("0-Person", "0-name", "0-a-b", "0-~boss")
	for _, c := range []struct {
		title    string
		name     Predicate
		value    []byte
		from, to Form
		want     []byte
	}{
		{"v20 to v23", t0, v20, FormV20, FormV23, v23},
		{"v20 to v21", t0, v20, FormV20, FormV21, v21},
		{"v21 to v23", t0, v21, FormV21, FormV23, v23},
		{"v23 to v21", t0, v23, FormV23, FormV21, v21},
		{"v23 to v20", t0, v23, FormV23, FormV20, v20},
		{"v21 to v20", t0, v21, FormV21, FormV20, v20},
		{"v23 to v23", t0, v23, FormV23, FormV23, v23},
		{"a v21 type in a v25 directory", t0, v21, FormV23, FormV23, v23},
		{"a v23 type in a v21 backup", t0, v23, FormV21, FormV21, v21},
		{"what 21.03.0 made of v20", t1f, of("Person", ns1f+"name"), FormV21, FormV23, of("1f-Person", "1f-name")},
		{"bare names", t1f, of("Person", "name", "~boss"), FormV23, FormV23, of("1f-Person", "1f-name", "1f-~boss")},
		{"bare long name", t1f, of("Person", "nickname_of"), FormV21, FormV23, of("1f-Person", "1f-nickname_of")},
		{"namespace 0x80 in a value", t0, of("x", "80-name"), FormV23, FormV21, of(ns0+"Person", "\x00\x00\x00\x00\x00\x00\x00\x80name")},
		{"and back", t0, of("x", "\x00\x00\x00\x00\x00\x00\x00\x80name"), FormV21, FormV23, of("0-Person", "80-name")},
		{"a huge namespace", t0, of("x", "\xff\xff\xff\xff\xff\xff\xff\xffname"), FormV21, FormV23, of("0-Person", "ffffffffffffffff-name")},
	} {
		got, err := ConvertType([]byte("x"), c.value, c.name, c.from, c.to)
		if err != nil || !bytes.Equal(got[1:], c.want) {
			t.Errorf("%s: %q, %v; want %q", c.title, got, err, c.want)
		}
	}
	for _, c := range []struct {
		title string
		name  Predicate
		value []byte
		to    Form
		want  error
	}{
		{"namespace in v20", t1f, v23, FormV20, ErrForm},
		{"namespace of a field in v20", t0, of("0-Person", "1-name"), FormV20, ErrForm},
		{"torn", t0, v23[:len(v23)-1], FormV23, ErrCorrupt},
		{"field without a name", t0, []byte("\x12\x02\x10\x09"), FormV23, ErrCorrupt},
		{"unknown form", t0, v23, Form(1), ErrForm},
	} {
		if got, err := ConvertType(nil, c.value, c.name, FormV23, c.to); !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v; want %v", c.title, got, err, c.want)
		}
	}
}

// Real schema and type values keep every byte in their own form, and come back from
// every other.
func TestRealSchemasComeBack(t *testing.T) {
	forms := []Form{FormV20, FormV21, FormV23}
	for _, set := range append(smallSets, otherSets[:3]...) {
		t.Run(set, func(t *testing.T) {
			own, values := setForm(set), 0
			eachEntry(t, set, func(file string, kv *pb.KV) {
				if kv.UserMeta[0] != MetaSchema {
					return
				}
				values++
				var k Key
				if err := ParseBackupKey(kv.Key, &k); err != nil {
					t.Fatal(err)
				}
				convert := func(value []byte, from, to Form) []byte {
					out, err := ConvertSchema(nil, value, k.Predicate, to)
					if k.Kind == KeyType {
						out, err = ConvertType(nil, value, k.Predicate, from, to)
					}
					if err != nil {
						t.Fatalf("%s: %s: %v", file, k.Predicate, err)
					}
					return out
				}
				if got := convert(kv.Value, own, own); !bytes.Equal(got, kv.Value) {
					t.Errorf("%s: %s: %q became %q", file, k.Predicate, kv.Value, got)
				}
				for _, f := range forms {
					if got := convert(convert(kv.Value, own, f), f, own); !bytes.Equal(got, kv.Value) {
						t.Errorf("%s: %s: %q came back from %s as %q", file, k.Predicate, kv.Value, f, got)
					}
				}
			})
			if values == 0 {
				t.Error("no schema")
			}
		})
	}
}
