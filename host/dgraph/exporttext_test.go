package dgraph

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
)

// A goldenExport is what the export of Dgraph 25.0 itself made of a list, a schema
// or a type that was given to it, one line of testdata/export-v25.jsonl.
type goldenExport struct {
	Case         string
	Name         string
	Ns, UID      uint64
	List         []byte
	RDF          string
	JSON         *string // absent where Dgraph's is cut off or no JSON
	Schema, Type []byte
	Text         string // of Schema or Type
}

func goldenExports(t *testing.T) []goldenExport {
	t.Helper()
	file, err := os.Open("testdata/export-v25.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []goldenExport
	for s := bufio.NewScanner(file); s.Scan(); {
		var g goldenExport
		if err := json.Unmarshal(s.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	if len(all) < 200 {
		t.Fatalf("only %d cases", len(all))
	}
	return all
}

// TestExportGolden: every type, escape, facet, name and namespace has the text that Dgraph
// gives it, in RDF, JSON and schema files.
func TestExportGolden(t *testing.T) {
	for _, g := range goldenExports(t) {
		x := NewExporter(FormV23)
		name := Predicate{Namespace: g.Ns, Name: g.Name}
		switch {
		case g.Text != "" && g.Schema != nil || g.Type != nil:
			var err error
			if g.Type != nil {
				err = x.AddType(name, g.Type, FormV23)
			} else {
				err = x.AddSchema(name, g.Schema)
			}
			if got := string(x.AppendSchemaFile(nil)); got != g.Text || err != nil {
				t.Errorf("%s: %q, %v; want %q", g.Case, got, err, g.Text)
			}
			continue
		}
		k := Key{Kind: KeyData, Predicate: name, UID: g.UID}
		got, err := x.AppendRDF([]byte("before\n"), &k, g.List)
		if string(got) != "before\n"+g.RDF {
			t.Errorf("%s: RDF %q; want %q", g.Case, got, g.RDF)
		}
		// Dgraph leaves out in silence what has no text form.
		if lines := strings.Count(g.RDF, "\n"); err != nil && (!errors.Is(err, ErrNoText) || lines == listLen(t, g.List)) {
			t.Errorf("%s: %v with %d lines", g.Case, err, lines)
		} else if err == nil && lines != listLen(t, g.List) && !x.hides(&k) && g.Name != typePredicate {
			t.Errorf("%s: no error with %d lines", g.Case, lines)
		}
		objects, err2 := x.AppendJSON([]byte("before"), &k, g.List)
		if g.JSON != nil && string(objects) != "before"+*g.JSON {
			t.Errorf("%s: JSON %q; want %q", g.Case, objects, *g.JSON)
		}
		if (err == nil) != (err2 == nil) {
			t.Errorf("%s: RDF %v, JSON %v", g.Case, err, err2)
		}
		if text := "[" + strings.TrimPrefix(string(objects), "before") + "]"; !json.Valid([]byte(text)) {
			t.Errorf("%s: no JSON: %s", g.Case, text)
		}
	}
}

func listLen(t *testing.T, b []byte) (n int) {
	t.Helper()
	var l list
	if err := parseList(b, &l); err != nil {
		t.Fatal(err)
	}
	for {
		_, ok, err := l.uids.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return n
		}
		n++
	}
}

// TestExportForms: what differs between the versions of Dgraph is the label, and
// the escapes of two control characters.
func TestExportForms(t *testing.T) {
	list := backupList(testPost{uid: ^uint64(0), kind: 1, ValueType: 9, value: "a\b\fz"})
	for _, c := range []struct {
		form      Form
		ns        uint64
		rdf, json string
	}{
		{FormV20, 0, `<0x1> <p> "a\u0008\u000cz"^^<xs:string> .`, `  {"uid":"0x1","p":"a\u0008\u000cz"}`},
		{FormV21, 0, `<0x1> <p> "a\u0008\u000cz"^^<xs:string> <0x0> .`, `  {"uid":"0x1","namespace":"0x0","p":"a\u0008\u000cz"}`},
		{FormV21, 0x80, `<0x1> <p> "a\u0008\u000cz"^^<xs:string> <0x80> .`, `  {"uid":"0x1","namespace":"0x80","p":"a\u0008\u000cz"}`},
		{FormV23, 0, `<0x1> <p> "a\b\fz"^^<xs:string> <0x0> .`, `  {"uid":"0x1","namespace":"0x0","p":"a\b\fz"}`},
	} {
		x := NewExporter(c.form)
		k := Key{Kind: KeyData, Predicate: Predicate{c.ns, "p"}, UID: 1}
		if got, err := x.AppendRDF(nil, &k, list); string(got) != c.rdf+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.form, got, err, c.rdf)
		}
		if got, err := x.AppendJSON(nil, &k, list); string(got) != c.json || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.form, got, err, c.json)
		}
	}
	x := NewExporter(FormV20)
	k := Key{Kind: KeyData, Predicate: Predicate{1, "p"}, UID: 1}
	if got, err := x.AppendRDF([]byte("x"), &k, list); string(got) != "x" || !errors.Is(err, ErrForm) {
		t.Errorf("a namespace in form V20: %q, %v", got, err)
	}
	if err := x.AddSchema(k.Predicate, nil); !errors.Is(err, ErrForm) {
		t.Errorf("schema of a namespace in form V20: %v", err)
	}
	if err := x.AddType(k.Predicate, nil, FormV20); !errors.Is(err, ErrForm) {
		t.Errorf("type of a namespace in form V20: %v", err)
	}
}

// TestExportOnlyData: other keys have no text, and neither have the graphs of
// vector indices.
func TestExportOnlyData(t *testing.T) {
	list := backupList(testPost{uid: 5})
	for _, c := range []struct {
		form Form
		kind KeyKind
		name string
		want bool
	}{
		{FormV23, KeyData, "p", true},
		{FormV23, KeyIndex, "p", false},
		{FormV23, KeyReverse, "p", false},
		{FormV23, KeyCount, "p", false},
		{FormV23, KeyCountReverse, "p", false},
		{FormV23, KeySchema, "p", false},
		{FormV23, KeyType, "p", false},
		{FormV23, KeyData, "v__vector_", false},
		{FormV23, KeyData, "v__vector_entry", false},
		{FormV23, KeyData, "v__vector_dead", false},
		{FormV20, KeyData, "v__vector_", true},
		{FormV23, KeyData, "_predicate_", false},
	} {
		k := Key{Kind: c.kind, Predicate: Predicate{Name: c.name}, UID: 1}
		got, err := NewExporter(c.form).AppendRDF(nil, &k, list)
		if (len(got) > 0) != c.want || err != nil {
			t.Errorf("%s, kind %d, %s: %q, %v", c.form, c.kind, c.name, got, err)
		}
	}
}

// TestExportUIDEncodings: both ways to write uids have the same text.
func TestExportUIDEncodings(t *testing.T) {
	for _, g := range goldenExports(t) {
		if g.List == nil {
			continue
		}
		other, err := ReencodeList(nil, g.List, UIDs)
		if err != nil {
			t.Fatal(err)
		}
		k := Key{Kind: KeyData, Predicate: Predicate{g.Ns, g.Name}, UID: g.UID}
		if got, _ := NewExporter(FormV23).AppendRDF(nil, &k, other); string(got) != g.RDF {
			t.Errorf("%s: %q; want %q", g.Case, got, g.RDF)
		}
	}
}

// TestExportNoText: a facet without a text form is missing from its line, a value takes the
// line with it, and the other postings are there; a list that is damaged gives nothing.
func TestExportNoText(t *testing.T) {
	x, k := NewExporter(FormV23), Key{Kind: KeyData, Predicate: Predicate{Name: "p"}, UID: 1}
	bad := testFacet{"bad", 1, "short"}
	for _, c := range []struct {
		list      []byte
		rdf, json string
	}{
		{backupList(testPost{uid: 2, facets: []testFacet{bad}}), "<0x1> <p> <0x2> <0x0> .\n", `[{"uid":"0x1","namespace":"0x0","p":[{"uid":"0x2"}]}]`},
		{
			backupList(testPost{uid: 2, facets: []testFacet{{"a", 0, "x"}, bad, {"unknown", 5, "x"}, {"b", 3, "\x01"}}}, testPost{uid: 3}),
			"<0x1> <p> <0x2> <0x0> (a=\"x\",b=true) .\n<0x1> <p> <0x3> <0x0> .\n",
			`[{"uid":"0x1","namespace":"0x0","p":[{"uid":"0x2","p|a":"x","p|b":"true"}]},{"uid":"0x1","namespace":"0x0","p":[{"uid":"0x3"}]}]`,
		},
		{
			backupList(testPost{uid: 2, kind: 1, ValueType: 2, value: "short"}, testPost{uid: 3, kind: 1, value: "v"}, testPost{uid: 4, kind: 1, ValueType: 7}),
			"<0x1> <p> \"v\" <0x0> .\n", `[{"uid":"0x1","namespace":"0x0","p":"v"}]`,
		},
	} {
		got, err := x.AppendRDF(nil, &k, c.list)
		if string(got) != c.rdf || !errors.Is(err, ErrNoText) {
			t.Errorf("%q, %v; want %q", got, err, c.rdf)
		}
		got, err = x.AppendJSON([]byte(JSONBegin), &k, c.list)
		var compact bytes.Buffer
		if json.Compact(&compact, append(got, JSONEnd...)) != nil || compact.String() != c.json || !errors.Is(err, ErrNoText) {
			t.Errorf("%s, %v; want %s", got, err, c.json)
		}
	}
	whole := backupList(testPost{uid: 2, kind: 1, value: "v"}, testPost{uid: 3, kind: 1, value: "w"})
	for n := range len(whole) {
		if got, err := x.AppendRDF([]byte("x"), &k, whole[:n]); err != nil && (string(got) != "x" || !errors.Is(err, ErrCorrupt)) {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
}

// TestExportJSONReadable: where Dgraph's JSON could not be read, this one can.
func TestExportJSONReadable(t *testing.T) {
	inf := "\x00\x00\x00\x00\x00\x00\xf0\x7f"
	list := backupList(testPost{uid: 2, kind: 2, lang: "x\"y", value: inf, ValueType: 3, facets: []testFacet{{"q\\", 2, inf}}})
	k := Key{Kind: KeyData, Predicate: Predicate{Name: "a\"b\n"}, UID: 1}
	got, err := NewExporter(FormV23).AppendJSON(nil, &k, list)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(got, &object); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if object["a\"b\n@x\"y"] != "+Inf" || object["a\"b\n|q\\"] != "+Inf" {
		t.Errorf("%s", got)
	}
}

// TestAppendString: escapes are those of encoding/json for any bytes.
func TestAppendString(t *testing.T) {
	check := func(s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString(nil, []byte(s), true); !bytes.Equal(got, want) {
			t.Errorf("%q: %s; want %s", s, got, want)
		}
	}
	for a := range 256 {
		check(string([]byte{byte(a)}))
		for b := range 256 {
			check(string([]byte{'x', byte(a), byte(b)}))
			check(string([]byte{0xe2, byte(a), byte(b), 'x'}))
			check(string([]byte{0xf0, byte(a), byte(b), 0x80}))
		}
	}
}

// TestAppendJSONFloat: numbers in places are those of encoding/json.
func TestAppendJSONFloat(t *testing.T) {
	for _, f := range []float64{0, 1, -0.1, 1e-6, 9.99e-7, 1e-10, 1e-100, 5e20, 9.99e20, 1e21, -1e21, 1e100, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		want, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendJSONFloat(nil, f); !bytes.Equal(got, want) {
			t.Errorf("%v: %s; want %s", f, got, want)
		}
	}
}

// TestSchemaLines: the comparable form of a schema has one sorted line for each thing.
func TestSchemaLines(t *testing.T) {
	x := NewExporter(FormV21)
	for _, add := range []func() error{
		func() error { return x.AddSchema(Predicate{0, "b"}, appendVarintField(nil, 2, 9)) },
		func() error { return x.AddSchema(Predicate{0, "a"}, nil) },
		func() error { return x.AddSchema(Predicate{0, "a"}, appendVarintField(nil, 2, 2)) },
		func() error {
			var v []byte
			for _, name := range []string{"\x00\x00\x00\x00\x00\x00\x00\x00z", "bare", "0-hex", "0-~back"} {
				v = appendBytesField(v, 2, appendBytesField(nil, 1, []byte(name)))
			}
			return x.AddType(Predicate{0, "T"}, v, FormV21)
		},
		func() error { return x.AddType(Predicate{0, "S"}, nil, FormV21) },
		func() error { return x.AddType(Predicate{0, "S"}, nil, FormV21) },
	} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	want := "x\n[0x0] <a>:int .\n[0x0] <b>:string .\n[0x0] type <S> { }\n[0x0] type <S> { }\n[0x0] type <T> { <~back> bare hex z }\n"
	if got := string(x.AppendSchema([]byte("x\n"))); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, damaged := range [][]byte{{0xff}, {0x22, 5, 'x'}, {0x7a, 1, 0xff}, {0x7a, 3, 0x12, 1, 0xff}} {
		if err := x.AddSchema(Predicate{0, "c"}, damaged); !errors.Is(err, ErrCorrupt) {
			t.Errorf("schema %x: %v", damaged, err)
		}
	}
	for _, damaged := range [][]byte{{0xff}, {0x12, 5, 'x'}, {0x12, 1, 0xff}} {
		if err := x.AddType(Predicate{0, "c"}, damaged, FormV21); !errors.Is(err, ErrCorrupt) {
			t.Errorf("type %x: %v", damaged, err)
		}
	}
	if got := string(x.AppendSchema([]byte("x\n"))); got != want {
		t.Errorf("what was refused left something behind:\n%s", got)
	}
}

// A testPost is a posting to make a list of.
type testPost struct {
	uid             uint64
	kind, ValueType uint64
	value, lang     string
	facets          []testFacet
}

type testFacet struct {
	key       string
	ValueType uint64
	value     string
}

// backupList makes a list of posts, whose uids ascend.
func backupList(posts ...testPost) []byte {
	var list, deltas []byte
	last := uint64(0)
	for _, p := range posts {
		deltas = binary.AppendUvarint(deltas, p.uid-last)
		last = p.uid
		if p.kind == 0 && p.facets == nil {
			continue
		}
		b := []byte{1<<3 | 1}
		for i := range 8 {
			b = append(b, byte(p.uid>>(8*i)))
		}
		b = appendBytesField(b, 2, []byte(p.value))
		b = appendVarintField(b, 3, p.ValueType)
		b = appendVarintField(b, 4, p.kind)
		b = appendBytesField(b, 5, []byte(p.lang))
		for _, f := range p.facets {
			c := appendBytesField(nil, 1, []byte(f.key))
			c = appendBytesField(c, 2, []byte(f.value))
			b = appendBytesField(b, 9, appendVarintField(c, 3, f.ValueType))
		}
		list = appendBytesField(list, 2, b)
	}
	return appendBytesField(list, 5, deltas)
}

// TestExportBigFloatBounded: no exponent makes an export take long.
func TestExportBigFloatBounded(t *testing.T) {
	for text, want := range map[string]string{
		"1e4931": "1e+4931", "-1e-4930": "-1e-4930", "1e4940": "", "1e-4940": "", "1e99999999": "", "1e-99999999": "", "0x1p+2147483640": "",
		strings.Repeat("1", 257): "",
	} {
		got, err := appendBigFloat(nil, []byte(text))
		if string(got) != want || (want == "") != errors.Is(err, ErrNoText) {
			t.Errorf("%.20s: %s, %v; want %q", text, got, err, want)
		}
	}
}

// TestExportParallel: one exporter serves many goroutines.
func TestExportParallel(t *testing.T) {
	x, golden := NewExporter(FormV23), goldenExports(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, g := range golden {
				k := Key{Kind: KeyData, Predicate: Predicate{g.Ns, g.Name}, UID: g.UID}
				if got, _ := x.AppendRDF(nil, &k, g.List); string(got) != g.RDF {
					t.Errorf("%s: %q; want %q", g.Case, got, g.RDF)
				}
				_, _ = x.AppendJSON(nil, &k, g.List)
			}
		})
	}
	all.Wait()
}
