package dgraph

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"golang.org/x/crypto/bcrypt"
)

var valueTypes = []ValueType{
	ValueDefault, ValueBinary, ValueInt, ValueFloat, ValueBool, ValueDatetime, ValueGeo,
	ValueUID, ValuePassword, ValueString, ValueBigFloat, ValueVector, 10, 99,
}

var truthLiteral = regexp.MustCompile(`^<(0x[0-9a-f]+)> <([^>]+)> ("(?:[^"\\]|\\.)*")(?:@([a-zA-Z-]+))?(?:\^\^<([^>]+)>)? `)

// What Dgraph's own export shows of a value is read as the very bytes that its backup
// holds.
func TestParseValueGivesTheBytesOfRealBackups(t *testing.T) {
	types := map[string]ValueType{}
	for _, vt := range valueTypes {
		types[vt.rdf()] = vt
	}
	types[""] = ValueDefault
	for _, set := range smallSets {
		t.Run(set, func(t *testing.T) {
			type value struct {
				p    Predicate
				uid  uint64
				lang string
				t    ValueType
				data string
			}
			held := map[value]bool{}
			eachEntry(t, set, func(file string, kv *pb.KV) {
				var k Key
				if err := ParseBackupKey(kv.Key, &k); err != nil {
					t.Fatal(err)
				}
				if k.Kind != KeyData {
					return
				}
				for p, err := range Postings(kv.Value) {
					if err != nil {
						t.Fatal(err)
					}
					if p.Kind == PostingRef {
						continue
					}
					held[value{k.Predicate, k.UID, p.Lang, p.Value.Type, string(p.Value.Data)}] = true
					text, err := p.Value.AppendText(nil)
					if err != nil {
						t.Errorf("%s of %#x: %v", k.Predicate, k.UID, err)
						continue
					}
					if back, err := ParseValue(p.Value.Type, string(text)); err != nil || !bytes.Equal(back.Data, p.Value.Data) {
						t.Errorf("%s of %#x: %q came back as %x, %v; want %x", k.Predicate, k.UID, text, back.Data, err, p.Value.Data)
					}
				}
			})
			files, err := filepath.Glob(filepath.Join(fixture(t, set), "truth", "*.rdf.gz"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%d files of truth, %v", len(files), err)
			}
			compared := 0
			for _, file := range files {
				eachLine(t, file, func(line string) {
					m := truthLiteral.FindStringSubmatch(line)
					if m == nil || strings.HasPrefix(m[2], "dgraph.") {
						return
					}
					var text string
					if err := json.Unmarshal([]byte(m[3]), &text); err != nil {
						t.Fatal(line, err)
					}
					vt, ok := types[m[5]]
					if !ok {
						t.Fatalf("no type %q", m[5])
					}
					if m[4] != "" {
						vt = ValueString // beside a language, exports name no type
					}
					v, err := ParseValue(vt, text)
					if err != nil {
						t.Fatal(line, err)
					}
					var uid uint64
					if err := json.Unmarshal([]byte(`"`+m[1]+`"`), (*hexUID)(&uid)); err != nil {
						t.Fatal(err)
					}
					compared++
					if !held[value{Predicate{0, m[2]}, uid, m[4], v.Type, string(v.Data)}] {
						t.Errorf("%s: the backups do not hold %x", line, v.Data)
					}
				})
			}
			if compared < 50 {
				t.Errorf("only %d values were compared", compared)
			}
			t.Log(compared, "values")
		})
	}
}

type hexUID uint64

func (u *hexUID) UnmarshalText(b []byte) error {
	n, err := hex.DecodeString(strings.Repeat("0", len(b)%2) + strings.TrimPrefix(string(b), "0x"))
	for _, c := range n {
		*u = *u<<8 | hexUID(c)
	}
	return err
}

func eachLine(t *testing.T, gz string, do func(string)) {
	t.Helper()
	f, err := os.Open(gz)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		do(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestParseValue(t *testing.T) {
	for _, c := range []struct {
		t    ValueType
		text string
		want string // text again; "" for an error
	}{
		{ValueInt, "3", "3"},
		{ValueInt, "-9223372036854775808", "-9223372036854775808"},
		{ValueInt, "9223372036854775808", ""},
		{ValueInt, "3.0", ""},
		{ValueInt, "", ""},
		{ValueInt, " 3", ""},
		{ValueFloat, "3", "3"},
		{ValueFloat, "1e-7", "1E-07"},
		{ValueFloat, "NaN", ""},
		{ValueFloat, "1e999", ""},
		{ValueBool, "1", "true"},
		{ValueBool, "False", "false"},
		{ValueBool, "yes", ""},
		{ValueDatetime, "2006", "2006-01-01T00:00:00Z"},
		{ValueDatetime, "2006-02", "2006-02-01T00:00:00Z"},
		{ValueDatetime, "2006-02-28", "2006-02-28T00:00:00Z"},
		{ValueDatetime, "2006-02-28T15:04:05", "2006-02-28T15:04:05Z"},
		{ValueDatetime, "2006-02-28T15:04:05.123456789", "2006-02-28T15:04:05.123456789Z"},
		{ValueDatetime, "2006-02-28T15:04:05.5+02:30", "2006-02-28T15:04:05.5+02:30"},
		{ValueDatetime, "2006-02-30", ""},
		{ValueDatetime, "2006-02-28T15:04:05-00:01", ""}, // Go cannot store that zone
		{ValueDatetime, "today", ""},
		{ValueGeo, `{"type":"Point","coordinates":[1.5,-2]}`, "{'type':'Point','coordinates':[1.5,-2]}"},
		{ValueGeo, `{'type':'Point','coordinates':[1.5,-2,7]}`, "{'type':'Point','coordinates':[1.5,-2,7]}"},
		{ValueGeo, `{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}`, "{'type':'Polygon','coordinates':[[[0,0],[1,0],[1,1],[0,0]]]}"},
		{ValueGeo, `{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]]]}`, "{'type':'MultiPolygon','coordinates':[[[[0,0],[1,0],[1,1],[0,0]]]]}"},
		{ValueGeo, `{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]}]}`, "{'type':'GeometryCollection','geometries':[{'type':'Point','coordinates':[1,2]}]}"},
		{ValueGeo, `{"type":"Point"}`, ""},
		{ValueGeo, `{"type":"Point","coordinates":[1]}`, ""},
		{ValueGeo, `{"type":"Feature"}`, ""},
		{ValueGeo, `null`, ""},
		{ValueGeo, strings.Repeat(`{"type":"GeometryCollection","geometries":[`, 100), ""},
		{ValueBigFloat, "0.1", "0.1"},
		{ValueBigFloat, "123456789012345678901234567890.5", "1.234567890123456789012345678905e+29"},
		{ValueBigFloat, "1e4000", "1e+4000"},
		{ValueBigFloat, "1e1000000000", ""},
		{ValueBigFloat, "Inf", ""},
		{ValueBigFloat, "0x10", ""},
		{ValueVector, "[1.0, 2.5]", "[1,2.5]"},
		{ValueVector, " [1 2.5\n3] ", "[1,2.5,3]"},
		{ValueVector, "[]", "[]"},
		{ValueVector, "1, 2", ""},
		{ValueVector, "[1, x]", ""},
		{ValueVector, "[1e99]", ""},
		{ValueUID, "0x1", ""},
		{ValueString, "  a\x00 ", "  a\x00 "},
		{ValueDefault, "", ""},
		{99, "x", ""},
	} {
		v, err := ParseValue(c.t, c.text)
		if c.want == "" && c.text != "" || err != nil {
			if c.want != "" || !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), c.t.String()) {
				t.Errorf("ParseValue(%s, %q) = %x, %v; want %q", c.t.String(), c.text, v.Data, err, c.want)
			}
			continue
		}
		got, err := v.AppendText(nil)
		if err != nil || string(got) != c.want || v.Type != c.t {
			t.Errorf("ParseValue(%s, %q) is %q, %v; want %q", c.t.String(), c.text, got, err, c.want)
		}
	}
}

func TestPasswordsAreHashedOnce(t *testing.T) {
	v, err := Value{ValueString, []byte("secret-1")}.Convert(ValuePassword)
	if err != nil || bcrypt.CompareHashAndPassword(v.Data, []byte("secret-1")) != nil {
		t.Fatalf("%q, %v", v.Data, err)
	}
	if again, err := ParseValue(ValuePassword, string(v.Data)); err != nil || !bytes.Equal(again.Data, v.Data) {
		t.Errorf("the hash became %q, %v", again.Data, err)
	}
	for _, text := range []string{"short", strings.Repeat("x", 73)} {
		if v, err := (Value{ValueDefault, []byte(text)}).Convert(ValuePassword); !errors.Is(err, ErrValue) || strings.Contains(err.Error(), text) {
			t.Errorf("%q, %v; want ErrValue that does not show the password", v.Data, err)
		}
	}
	if got, err := v.Convert(ValueInt); !errors.Is(err, ErrValue) || strings.Contains(err.Error(), string(v.Data)) {
		t.Errorf("as int: %x, %v; want ErrValue that does not show the hash", got.Data, err)
	}
}

func TestConvert(t *testing.T) {
	value := func(vt ValueType, text string) Value {
		t.Helper()
		v, err := ParseValue(vt, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		v    Value
		to   ValueType
		want string // its text; "" for an error
	}{
		{value(ValueDefault, "7"), ValueInt, "7"},
		{value(ValueDefault, "x"), ValueString, "x"},
		{value(ValueString, "true"), ValueBool, "true"},
		{value(ValueString, "7.5"), ValueInt, ""},
		{value(ValueString, "0x1"), ValueUID, ""},
		{value(ValueString, "[1,2]"), ValueVector, "[1,2]"},
		{value(ValueInt, "7"), ValueInt, "7"},
		{value(ValueInt, "7"), ValueFloat, "7"},
		{value(ValueInt, "7"), ValueBool, "true"},
		{value(ValueInt, "0"), ValueBool, "false"},
		{value(ValueInt, "7"), ValueString, "7"},
		{value(ValueInt, "7"), ValueDefault, "7"},
		{value(ValueInt, "7"), ValueBigFloat, "7"},
		{value(ValueInt, "86400"), ValueDatetime, "1970-01-02T00:00:00Z"},
		{value(ValueInt, "999999999999999"), ValueDatetime, ""},
		{value(ValueInt, "7"), ValueGeo, ""},
		{value(ValueInt, "7"), ValuePassword, ""},
		{value(ValueInt, "7"), ValueVector, ""},
		{value(ValueFloat, "-7.9"), ValueInt, "-7"},
		{value(ValueFloat, "9223372036854775808"), ValueInt, ""},
		{value(ValueFloat, "Inf"), ValueInt, ""},
		{value(ValueFloat, "0"), ValueBool, "false"},
		{value(ValueFloat, "0.1"), ValueString, "0.1"},
		{value(ValueFloat, "1.5"), ValueDatetime, "1970-01-01T00:00:01.5Z"},
		{value(ValueFloat, "1e300"), ValueDatetime, ""},
		{value(ValueFloat, "0.5"), ValueBigFloat, "0.5"},
		{value(ValueFloat, "Inf"), ValueBigFloat, ""},
		{value(ValueBool, "true"), ValueInt, "1"},
		{value(ValueBool, "true"), ValueFloat, "1"},
		{value(ValueBool, "true"), ValueString, "true"},
		{value(ValueBool, "true"), ValueDatetime, ""},
		{value(ValueDatetime, "1970-01-02"), ValueInt, "86400"},
		{value(ValueDatetime, "1970-01-01T00:00:01.5Z"), ValueFloat, "1.5"},
		{value(ValueDatetime, "0001-01-01"), ValueFloat, "-6.21355968E+10"},
		{value(ValueDatetime, "1970"), ValueString, "1970-01-01T00:00:00Z"},
		{value(ValueDatetime, "1970"), ValueBool, ""},
		{value(ValueGeo, `{"type":"Point","coordinates":[1,2]}`), ValueString, "{'type':'Point','coordinates':[1,2]}"},
		{value(ValueGeo, `{"type":"Point","coordinates":[1,2]}`), ValueInt, ""},
		{value(ValueBigFloat, "7.5"), ValueInt, "7"},
		{value(ValueBigFloat, "1e30"), ValueInt, ""},
		{value(ValueBigFloat, "0.1"), ValueFloat, "0.1"},
		{value(ValueBigFloat, "1e400"), ValueFloat, ""},
		{value(ValueBigFloat, "0"), ValueBool, "false"},
		{value(ValueVector, "[1]"), ValueString, "[1]"},
		{value(ValueVector, "[1]"), ValueFloat, ""},
		{value(ValueBinary, "12345678"), ValueString, "12345678"},
		{value(ValueBinary, "1234567"), ValueInt, ""},
		{Value{ValueInt, []byte("x")}, ValueFloat, ""},
		{Value{ValueBool, nil}, ValueInt, ""},
		{Value{ValueBigFloat, []byte("Inf")}, ValueString, ""},
		{Value{ValueUID, nil}, ValueString, ""},
	} {
		v, err := c.v.Convert(c.to)
		if c.want == "" {
			if !errors.Is(err, ErrValue) {
				t.Errorf("%s %q as %s = %x, %v; want ErrValue", c.v.Type.String(), c.v.Data, c.to.String(), v.Data, err)
			}
			continue
		}
		got, terr := v.AppendText(nil)
		if err != nil || terr != nil || string(got) != c.want || v.Type != c.to {
			t.Errorf("%s %q as %s is %q, %v, %v; want %q", c.v.Type.String(), c.v.Data, c.to.String(), got, err, terr, c.want)
		}
	}
}

func TestErrorsOfValuesNameThem(t *testing.T) {
	for _, c := range []struct {
		v    Value
		to   ValueType
		want string
	}{
		{Value{ValueString, []byte("abc")}, ValueInt, `not a value of the type int: "abc" (string): invalid syntax`},
		{Value{ValueString, []byte(strings.Repeat("ä", 50))}, ValueInt, `not a value of the type int: "` + strings.Repeat("ä", 40) + `..." (string): invalid syntax`},
		{Value{ValueBool, []byte{1}}, ValueGeo, `not a value of the type geo: "true" (bool): values of that type are not converted`},
	} {
		if _, err := c.v.Convert(c.to); err == nil || err.Error() != c.want {
			t.Errorf("got %v; want %s", err, c.want)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for _, c := range []struct {
		t          ValueType
		text, want string
	}{
		{ValueInt, "-7", "-7"},
		{ValueFloat, "3.5", "3.500000"},
		{ValueFloat, "0.1234567", "0.1234567"},
		{ValueFloat, "1e-9", "1e-9"},
		{ValueBool, "true", "true"},
		{ValueString, "a\"\n", `"a\"\n"`},
		{ValueDefault, "x", `"x"`},
		{ValueDatetime, "2006", `"2006-01-01T00:00:00Z"`},
		{ValueGeo, "{'type':'Point','coordinates':[1,2]}", `{"type":"Point","coordinates":[1,2]}`},
		{ValueBigFloat, "1e100", "1e+100"},
		{ValueVector, "[1, 2.5]", "[1,2.5]"},
	} {
		v, err := ParseValue(c.t, c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.AppendJSON([]byte("x")); err != nil || string(got) != "x"+c.want {
			t.Errorf("%s %q = %s, %v; want %s", c.t.String(), c.text, got, err, c.want)
		}
	}
	for _, v := range []Value{
		{ValueFloat, floatData(0)[:7]},
		{ValueVector, []byte{0, 0, 0x80, 0x7f}},
		{ValueUID, nil},
	} {
		if got, err := v.AppendJSON([]byte("x")); !errors.Is(err, ErrNoText) || string(got) != "x" {
			t.Errorf("%s %x = %s, %v; want ErrNoText", v.Type.String(), v.Data, got, err)
		}
	}
	inf, err := ParseValue(ValueFloat, "-Inf")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inf.AppendJSON(nil); !errors.Is(err, ErrNoText) {
		t.Errorf("-Inf = %s, %v; want ErrNoText", got, err)
	}
}

func FuzzParseValue(f *testing.F) {
	for _, s := range []string{
		"3", "3.5e2", "true", "2006-01-02T15:04:05.5+02:00", "2006", "[1, 2.5]",
		`{"type":"Point","coordinates":[1,2]}`, `{'type':'Polygon','coordinates':[[[0,0],[1,0],[1,1],[0,0]]]}`,
		`{"type":"GeometryCollection","geometries":[{"type":"MultiPoint","coordinates":[[1,2,3]]}]}`,
		"$2a$10$jxTepBT7pxa8Zb.Gzg6bJ.jM7VcQ0/Th8PrdzQUvfwTUyPrtNn5Vy", "1e-4000", "Inf",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, vt := range valueTypes {
			if _, err := bcrypt.Cost([]byte(text)); vt == ValuePassword && err != nil {
				continue // hashing takes long
			}
			v, err := ParseValue(vt, text)
			if err != nil {
				if !errors.Is(err, ErrValue) {
					t.Fatal(err)
				}
				continue
			}
			// What it is written as is the same value.
			out, err := v.AppendText(nil)
			if err != nil {
				t.Fatalf("%q as %s: %v", text, vt.String(), err)
			}
			if back, err := ParseValue(vt, string(out)); err != nil || !bytes.Equal(back.Data, v.Data) {
				t.Fatalf("%q as %s: %x is written %q and read %x, %v", text, vt.String(), v.Data, out, back.Data, err)
			}
			if out, err := v.AppendJSON(nil); err == nil && !json.Valid(out) {
				t.Fatalf("%q as %s is no JSON: %s", text, vt.String(), out)
			}
		}
	})
}

func FuzzConvert(f *testing.F) {
	for i, vt := range valueTypes {
		f.Add(uint64(vt), []byte("12345678abcdefg")[:i+1])
	}
	f.Add(uint64(ValueDatetime), []byte("\x01\x00\x00\x00\x0eF\xb8\x02\x00\x00\x00\x00\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, vt uint64, data []byte) {
		v := Value{ValueType(vt), data}
		for _, to := range valueTypes {
			if to == ValuePassword && v.Type.text() {
				continue // hashing takes long
			}
			got, err := v.Convert(to)
			if err != nil && !errors.Is(err, ErrValue) {
				t.Fatal(err)
			}
			if err == nil && got.Type != to {
				t.Fatalf("%x as %s is of type %s", data, to.String(), got.Type.String())
			}
		}
		if out, err := v.AppendJSON(nil); err == nil && !json.Valid(out) {
			t.Fatalf("%x as %s is no JSON: %s", data, v.Type.String(), out)
		}
	})
}
