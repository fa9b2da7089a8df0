package nquad

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

func value(t dgraph.ValueType, text string) *dgraph.Value {
	v, err := dgraph.ParseValue(t, text)
	if err != nil {
		panic(err)
	}
	return &v
}

// quads are what of a request matters, a line each.
func quads(r *Request) (lines []string) {
	for i, q := range slices.Concat(r.Set, r.Del) {
		op := "set"
		if i >= len(r.Set) {
			op = "del"
		}
		line := fmt.Sprintf("%s %s <%s>", op, q.Subject, q.Predicate)
		if q.Lang != "" {
			line += "@" + q.Lang
		}
		switch {
		case q.Star:
			line += " *"
		case q.Value != nil:
			text, err := q.Value.AppendText(nil)
			if err != nil {
				panic(err)
			}
			line += fmt.Sprintf(" %s %q", q.Value.Type, text)
		default:
			line += " " + q.Object
		}
		if q.Namespace != nil {
			line += fmt.Sprintf(" [%#x]", *q.Namespace)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestParseRDF(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{}`, nil},
		{` { set { } delete{} } # nothing`, nil},
		{`{ set { <0x1> <name> "Alice" . } }`, []string{`set 0x1 <name> default "Alice"`}},
		{`{set{<0x1><name>"Alice".<2> <name> "Bob"@en.}}`, []string{`set 0x1 <name> default "Alice"`, `set 0x2 <name>@en default "Bob"`}},
		{
			"{\n# people }\nset {\n_:a <friend> _:b.2 . # her friend }\n_:a <name@pt-BR> \"A # } { .\" .\n}\n}",
			[]string{`set _:a <friend> _:b.2`, `set _:a <name>@pt-BR default "A # } { ."`},
		},
		{`{ set { <0x1> <friend> <0x2> <0x1f> . } }`, []string{`set 0x1 <friend> 0x2 [0x1f]`}},
		{`{ set { _:имя <имя> "x" . } }`, []string{`set _:имя <имя> default "x"`}},
		{`{ set { _:user:1 <friend> _:a·b. } }`, []string{`set _:user:1 <friend> _:a·b`}},
		{
			`{ set { <_:http://example.org/a#1> <friend> <_:b> . _:b <name> "B" . } }`,
			[]string{`set _:http://example.org/a#1 <friend> _:b`, `set _:b <name> default "B"`},
		},
		{
			`{ set { <1> <s> "\t\"\\\n\u00e4\U0001F600\ud83d\ude00\'"^^<xs:string> . } }`,
			[]string{`set 0x1 <s> string "\t\"\\\nä😀😀'"`},
		},
		{
			`{ set {
				<1> <a> "3"^^<xs:int> .
				<1> <a> "3"^^<http://www.w3.org/2001/XMLSchema#integer> .
				<1> <a> "3"^^<xsd:positiveInteger> .
				<1> <b> "true"^^<xs:boolean> .
				<1> <c> "1.5"^^<xs:double> .
				<1> <d> "2006-01-02"^^<xs:date> .
				<1> <d> "2006"^^<http://www.w3.org/2001/XMLSchema#gYear> .
				<1> <e> "{'type':'Point','coordinates':[1,2]}"^^<geo:geojson> .
				<1> <f> "[1.0, 2.0]"^^<float32vector> .
				<1> <f> "[1.0, 2.0]"^^<xs:[]float32> .
				<1> <g> "0.1"^^<xs:decimal> .
				<1> <h> "$2a$10$jxTepBT7pxa8Zb.Gzg6bJ.jM7VcQ0/Th8PrdzQUvfwTUyPrtNn5Vy"^^<xs:password> .
			} }`,
			[]string{
				`set 0x1 <a> int "3"`, `set 0x1 <a> int "3"`, `set 0x1 <a> int "3"`, `set 0x1 <b> bool "true"`, `set 0x1 <c> float "1.5"`,
				`set 0x1 <d> datetime "2006-01-02T00:00:00Z"`, `set 0x1 <d> datetime "2006-01-01T00:00:00Z"`,
				`set 0x1 <e> geo "{'type':'Point','coordinates':[1,2]}"`, `set 0x1 <f> float32vector "[1,2]"`, `set 0x1 <f> float32vector "[1,2]"`,
				`set 0x1 <g> bigfloat "0.1"`, `set 0x1 <h> password "$2a$10$jxTepBT7pxa8Zb.Gzg6bJ.jM7VcQ0/Th8PrdzQUvfwTUyPrtNn5Vy"`,
			},
		},
		{
			`{ delete { <0x1> <name> * . <0x1> <name@en> * . <0x1> * * . <0x1> <friend> <0x2> . <0x1> <age> "3" . } set { <0x1> <name> "x" . } }`,
			[]string{
				`set 0x1 <name> default "x"`, `del 0x1 <name> *`, `del 0x1 <name>@en *`, `del 0x1 <> *`, `del 0x1 <friend> 0x2`, `del 0x1 <age> default "3"`,
			},
		},
		{`{ set { <0x1> <a> "1" . } set { <0x1> <b> "2" . } }`, []string{`set 0x1 <a> default "1"`, `set 0x1 <b> default "2"`}},
	} {
		r, err := ParseRDF([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if got := quads(r); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.body, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestErrorsOfRDFNameLineAndText(t *testing.T) {
	set := func(quad string) string { return "{\nset {\n" + quad + "\n}\n}" }
	for body, want := range map[string]string{
		"":                             `line 1: expected { before the mutation, got the end: write { set { ... } delete { ... } }`,
		`<0x1> <name> "x" .`:           `line 1: expected { before the mutation, got "<0x1> <name> \"x\" ."`,
		"{\n<0x1> <name> \"x\" . }":    `line 2: expected set or delete, got "<0x1> <name>`,
		"{ set { } ":                   `expected set or delete, got the end`,
		"{ set <0x1> }":                `expected { before the quads of set, got "<0x1> }"`,
		"{ set { } } }":                `expected the end after the mutation, got "}"`,
		"{ sets { } }":                 `expected set or delete, got "sets { } }"`,
		"upsert {\n query {} }":        `upsert blocks are not supported`,
		"{ upsert { query {} } }":      `upsert blocks are not supported`,
		"{ set @if(eq(len(v), 0)) { }": `conditions are not supported`,
		"\xff":                         `it is not UTF-8`,

		set(`<0x1> <name> "x"`):                          `line 4: expected . after the object, got "}"`,
		set(`<0x1> <name> .`):                            `line 3: expected the object, as <0x1> or _:name, got "."`,
		set(`<0x1> name "x" .`):                          `line 3: expected a predicate, as <name>, got "name \"x\" ."`,
		set(`0x1 <name> "x" .`):                          `line 3: expected the subject, as <0x1> or _:name, got "0x1 <name> \"x\" ."`,
		set(`<alice> <name> "x" .`):                      `line 3: the subject <alice>: it is no uid, as 0x1 or 1, and no blank node, as _:name`,
		set(`<0x0> <name> "x" .`):                        `the subject <0x0>: a uid is 0x1 or more`,
		set(`<0x10000000000000000> <name> "x" .`):        `it is no uid`,
		set(`<0x1> <na me> "x" .`):                       `the predicate <na me>: invalid name "na me"`,
		set(`<0x1> <> "x" .`):                            `the predicate <>: invalid name: it is empty`,
		set(`<0x1> <~friend> <0x2> .`):                   `the predicate <~friend>: invalid name "~friend": ~ and @ cannot be part of one`,
		set(`<0x1> <name@> "x" .`):                       `"" is no language, as en or pt-BR`,
		set(`<0x1> <name@e_n> "x" .`):                    `"e_n" is no language`,
		set(`<0x1> <name "x" .`):                         `the predicate has no >`,
		set(`<0x1> <name> "x`):                           `a literal has no " on its line: a line break in it is \n, in "\"x"`,
		set(`<0x1> <name> "x\q" .`):                      `"\\q" is no escape: there are`,
		set(`<0x1> <name> "\ud800" .`):                   `is no escape`,
		set(`<0x1> <name> "x"@ .`):                       `expected a language after @, as en, got "@ ."`,
		set(`<0x1> <name> "x"^^<xs:text> .`):             `unrecognized rdf type "xs:text": there are xs:string`,
		set(`<0x1> <name> "x"^^xs:int .`):                `expected . after the object, got "^^xs:int ."`,
		set(`<0x1> <name> "x"^^<xs:int> .`):              `line 3: not a value of the type int: "x": invalid syntax`,
		set(`<0x1> <name> "_STAR_ALL" .`):                `"_STAR_ALL" cannot be a value`,
		set(`<0x1> <friend@en> <0x2> .`):                 `an edge has no language, got "<0x2> ."`,
		set(`<0x1> <friend> <0x2> (since=2006) .`):       `facets are not supported: leave out "(since=2006) ."`,
		set(`<0x1> <name> "x" <graph> .`):                `the label <graph> is no namespace, as <0x1>: leave it out`,
		set(`<0x1> <name> * .`):                          `* is for what is deleted, got "* ."`,
		set(`<0x1> * * .`):                               `* is for what is deleted`,
		set(`* <name> "x" .`):                            `expected the subject, as <0x1> or _:name, got "*`,
		set(`uid(v) <name> "x" .`):                       `uid(...) and val(...) are not supported, for they need an upsert block`,
		set(`<0x1> <name> val(v) .`):                     `uid(...) and val(...) are not supported`,
		set(`_: <name> "x" .`):                           `a blank node without a name, got "_: <name>`,
		`{ delete { _:a <name> * . } }`:                  `a blank node is new, and cannot be part of what is deleted, got "_:a`,
		`{ delete { <0x1> <f> _:a . } }`:                 `a blank node is new`,
		`{ delete { <_:a> <name> * . } }`:                `the subject: a blank node is new, and cannot be part of what is deleted, got "_:a"`,
		set(`<_:> <name> "x" .`):                         `the subject: "_:" is no name of a blank node`,
		set(`<0x1> <friend> <_:a b> .`):                  `the object: "_:a b" is no name of a blank node`,
		`{ delete { <0x1> * "x" . } }`:                   `with * for the predicate, the object must be *, got "\"x\"`,
		set(`<0x1> <n> "x" x` + strings.Repeat("y", 50)): `got "x` + strings.Repeat("y", 39) + `..."`,
	} {
		r, err := ParseRDF([]byte(body))
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n= %+v, %v; want %s", body, r, err, want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{}`, nil},
		{`{"set": null, "delete": [], "cond": "", "query": null}`, nil},
		{`{"set": {"uid": "0x1", "name": "Alice"}}`, []string{`set 0x1 <name> string "Alice"`}},
		{
			`{"set": [{"uid": "_:a", "name": "x", "name@en": "y", "age": 3, "height": 1.5, "big": 1e3, "flag": true, "when": "2006-01-02",
			  "none": null, "tags": ["a", "b", null], "dgraph.type": "Person", "empty": "", "zero": 0}]}`,
			[]string{
				`set _:a <name> string "x"`, `set _:a <name>@en string "y"`, `set _:a <age> int "3"`, `set _:a <height> float "1.5"`,
				`set _:a <big> float "1000"`, `set _:a <flag> bool "true"`, `set _:a <when> string "2006-01-02"`, `set _:a <tags> string "a"`,
				`set _:a <tags> string "b"`, `set _:a <dgraph.type> string "Person"`, `set _:a <empty> string ""`, `set _:a <zero> int "0"`,
			},
		},
		{
			`{"set": [{"name": "A", "friend": [{"uid": "0x2"}, {"name": "B", "boss": {"uid": 3, "name": "C"}}]}, {"uid": "", "name": "D"}]}`,
			[]string{
				`set _:dg.0.1 <name> string "A"`, `set _:dg.0.1 <friend> 0x2`, `set _:dg.0.1 <friend> _:dg.0.2`, `set _:dg.0.2 <name> string "B"`,
				`set _:dg.0.2 <boss> 0x3`, `set 0x3 <name> string "C"`, `set _:dg.0.3 <name> string "D"`,
			},
		},
		{`{"set": {"uid": "0x1", "name": "A", "friend": {}}, "delete": {"uid": "0x1", "boss": {}}}`, []string{`set 0x1 <name> string "A"`}},
		{
			`{"set": [{"name": "A", "friend": {"uid": "_:dg.0.1"}}]}`,
			[]string{`set _:dg.1.1 <name> string "A"`, `set _:dg.1.1 <friend> _:dg.0.1`},
		},
		{
			`{"set": {"uid": "0x1", "loc": {"type": "Point", "coordinates": [1.5, -2]}, "place": {"uid": "0x2", "type": "Point"}}}`,
			[]string{`set 0x1 <loc> geo "{'type':'Point','coordinates':[1.5,-2]}"`, `set 0x1 <place> 0x2`, `set 0x2 <type> string "Point"`},
		},
		{
			`{"delete": [{"uid": "0x1", "name": null, "name@en": null, "age": 3, "friend": {"uid": "0x2"}, "tags": ["a", ""], "nick": "", "flag": false, "old": true, "n": 0},
			  {"uid": "2"}, {"uid": 3}]}`,
			[]string{
				`del 0x1 <name> *`, `del 0x1 <name>@en *`, `del 0x1 <age> int "3"`, `del 0x1 <friend> 0x2`, `del 0x1 <tags> string "a"`,
				`del 0x1 <tags> string ""`, `del 0x1 <nick> *`, `del 0x1 <flag> *`, `del 0x1 <old> bool "true"`, `del 0x1 <n> int "0"`, `del 0x2 <> *`, `del 0x3 <> *`,
			},
		},
		{
			`{"set": [{"uid": "0x1", "namespace": "0x1f", "name": "A", "friend": [{"uid": "0x2", "name": "B"}, {"uid": "0x3", "namespace": 0, "name": "C"}]}, {"uid": "0x4", "name": "D"}]}`,
			[]string{
				`set 0x1 <name> string "A" [0x1f]`, `set 0x1 <friend> 0x2 [0x1f]`, `set 0x2 <name> string "B" [0x1f]`, `set 0x1 <friend> 0x3 [0x1f]`,
				`set 0x3 <name> string "C" [0x0]`, `set 0x4 <name> string "D"`,
			},
		},
		{
			`{"delete": {"uid": "0x1", "friend": [{"uid": "0x2", "name": null}]}, "set": [{"uid": "0x1", "x": "y"}]}`,
			[]string{`set 0x1 <x> string "y"`, `del 0x1 <friend> 0x2`, `del 0x2 <name> *`},
		},
	} {
		r, err := ParseJSON([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if got := quads(r); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.body, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestErrorsOfJSONNameLineAndText(t *testing.T) {
	set := func(members string) string { return "{\"set\":\n{" + members + "}\n}" }
	for body, want := range map[string]string{
		``:                           `line 1: JSON ends too early`,
		"{\n\"set\": [{]":            `line 2: JSON: `,
		`{"set": [{}`:                `JSON ends too early`,
		`{"set": {}} x`:              `expected the end after the mutation`,
		`[]`:                         `expected {"set": ...} or {"delete": ...}, got an array`,
		`{"name": "x"}`:              `expected "set" or "delete", got "name": put it into {"set": {...}}`,
		`{"set": "x"}`:               `expected an object or an array of them, got a string`,
		`{"set": [[]]}`:              `expected an object, got an array`,
		`{"query": "{}", "set": {}}`: `"query" belongs to an upsert`,
		`{"cond": "@if(x)"}`:         `"cond" belongs to an upsert`,
		`{"mutations": [{}]}`:        `"mutations" belongs to an upsert`,
		"{\"set\": \"\xff\"}":        `it is not UTF-8`,

		set(`"uid": "alice"`):                         `line 2: the uid "alice": it is no uid, as 0x1 or 1, and no blank node`,
		set(`"uid": "0x0"`):                           `the uid "0x0": a uid is 0x1 or more`,
		set(`"uid": 0`):                               `the uid "0": a uid is 0x1 or more`,
		set(`"uid": 1.5`):                             `the uid "1.5": it is no uid`,
		set(`"uid": true`):                            `a uid is a string, got true or false`,
		set(`"uid": "_:"`):                            `"_:" is no name of a blank node`,
		set(`"uid": "_:a b"`):                         `"_:a b" is no name of a blank node`,
		set(`"uid": "_:\u0064g.0.1"`):                 `"_:dg.0.1" is taken for nodes without a uid`,
		set(`"uid": "uid(v)"`):                        `uid(...) is not supported`,
		set(`"name": "val(v)"`):                       `"name": val(v) is not supported, for it needs an upsert block`,
		set(`"name|since": 1`):                        `facets are not supported: leave out "name|since"`,
		set(`"na me": 1`):                             `the predicate "na me": invalid name "na me"`,
		set(`"": 1`):                                  `the predicate "": invalid name: it is empty`,
		set(`"~friend": {"uid": "0x1"}`):              `~ and @ cannot be part of one`,
		set(`"@en": 1`):                               `~ and @ cannot be part of one`,
		set(`"name@": 1`):                             `"" is no language`,
		set(`"friend@en": {"uid": "0x1"}`):            `"friend@en": an edge has no language`,
		set(`"tags": [["a"]]`):                        `"tags" has an array in an array`,
		set(`"n": 9223372036854775808`):               `"n": not a value of the type int: "9223372036854775808": value out of range`,
		set(`"n": 1e999`):                             `"n": not a value of the type float`,
		set(`"n": "_STAR_ALL"`):                       `"_STAR_ALL" cannot be a value`,
		set(`"namespace": "galaxy"`):                  `"namespace" is that of the object, as "0x1", and no predicate`,
		set(`"namespace": ["0x1"]`):                   `"namespace" is that of the object`,
		set(`"n": 1, "n": 2`):                         `"n" is there twice`,
		set(`"p": {"type":"Point","coordinates":[]}`): `not a value of the type geo`,
		`{"delete": {"name": null}}`:                  `the uid is missing, and must be there to delete: "{\"name\": null}"`,
		`{"delete": {"uid": "_:a"}}`:                  `a blank node is new, and cannot be part of what is deleted`,
		set(strings.Repeat(`"f":{`, 200) + strings.Repeat(`}`, 200)): `nested deeper than 100`,
	} {
		r, err := ParseJSON([]byte(body))
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n= %+v, %v; want %s", body, r, err, want)
		}
	}
}

func TestTooManyQuads(t *testing.T) {
	rdf := "{set{" + strings.Repeat("<1><p><2>.", maxQuads) + "<1><p><2>.}}"
	if _, err := ParseRDF([]byte(rdf)); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "more than 1000000 quads") {
		t.Errorf("RDF: %v", err)
	}
	for body, want := range map[string]string{
		`{"set":{"uid":1,"p":[` + strings.Repeat("1,", maxQuads) + "1]}}":     "more than 1000000 quads",
		`{"set":{"uid":1,"p":[` + strings.Repeat("null,", maxValues) + "1]}}": "more than 2000000 values",
	} {
		if _, err := ParseJSON([]byte(body)); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("JSON: %v; want %s", err, want)
		}
	}
}

func TestMutation(t *testing.T) {
	r, err := ParseRDF([]byte(`{
		set { _:b <friend> _:a . _:a <name> "A"@en . <0x5> <friend> _:c <0x7> . }
		delete { <0x1> * * . <0x1> <name@en> * . <0x1> <friend> <0x2> . <0x1> <age> "3"^^<xs:int> . }
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Blank(), []string{"b", "a", "c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("blank nodes %q; want %q", got, want)
	}
	uids := map[string]uint64{"a": 10, "b": 11, "c": 12}
	got, err := r.Mutation(3, func(name string) uint64 { return uids[name] })
	if err != nil {
		t.Fatal(err)
	}
	p := func(name string) dgraph.Predicate { return dgraph.Predicate{Namespace: 3, Name: name} }
	want := store.Mutation{
		Set: []store.Edge{
			{UID: 11, Predicate: p("friend"), Object: 10},
			{UID: 10, Predicate: p("name"), Value: *value(dgraph.ValueDefault, "A"), Lang: "en"},
			{UID: 5, Predicate: dgraph.Predicate{Namespace: 7, Name: "friend"}, Object: 12},
		},
		Del: []store.Edge{
			{UID: 1, Predicate: p(""), Star: true},
			{UID: 1, Predicate: p("name"), Lang: "en", Star: true},
			{UID: 1, Predicate: p("friend"), Object: 2},
			{UID: 1, Predicate: p("age"), Value: *value(dgraph.ValueInt, "3")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	uids["c"] = 0
	if _, err := r.Mutation(3, func(name string) uint64 { return uids[name] }); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), `line 2: node "_:c": it has no uid`) {
		t.Errorf("a node without a uid: %v", err)
	}
}

// What Dgraph exports can be sent back as a mutation.
func TestExportsAreMutations(t *testing.T) {
	files, err := filepath.Glob("../../testdata/fixtures/*/truth/*.rdf.gz")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files of truth, %v", len(files), err)
	}
	var text bytes.Buffer
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines, count := bufio.NewScanner(in), 0
		lines.Buffer(nil, 1<<24)
		text.Reset()
		text.WriteString("{ set {\n")
		for lines.Scan() {
			line := lines.Text()
			if at := strings.LastIndex(line, " ("); at > 0 && strings.HasSuffix(line, ") .") && !strings.HasSuffix(line, `" .`) {
				line = line[:at] + " ." // facets
			}
			text.WriteString(line + "\n")
			count++
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
		text.WriteString("}}")
		r, err := ParseRDF(text.Bytes())
		if err != nil || len(r.Set) != count {
			t.Fatalf("%s: %v", file, err)
		}
		for i, q := range r.Set[:min(len(r.Set), 2000)] {
			if q.Value == nil || q.Value.Type != dgraph.ValueString && q.Value.Type != dgraph.ValueDefault {
				continue
			}
			quoted, err := json.Marshal(string(q.Value.Data))
			if err != nil {
				t.Fatal(err)
			}
			line := strings.Split(text.String(), "\n")[i+1]
			if !strings.Contains(line, string(quoted)) {
				t.Errorf("%s: %s was read as %s", file, line, quoted)
			}
			break
		}
	}
}

func FuzzParseRDF(f *testing.F) {
	f.Add(`{ set { _:a <name@en> "A\u00e4\n"@en <0x1> . <1> <age> "3"^^<xs:int> . } delete { <0x1> * * . <0x1> <name> * . } }`)
	f.Add(`{ set { <0x1> <friend> <0x2> (since=2006) . } }`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := ParseRDF([]byte(body))
		check(t, r, err)
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add(`{"set": [{"uid": "_:a", "name@en": "x", "friend": [{"uid": "0x2"}, {"n": 1.5}], "loc": {"type":"Point","coordinates":[1,2]}}]}`)
	f.Add(`{"delete": [{"uid": "0x1", "name": null, "flag": false}, {"uid": 3}], "query": ""}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := ParseJSON([]byte(body))
		check(t, r, err)
	})
}

// check: what was read becomes a mutation, or the error is one of syntax.
func check(t *testing.T, r *Request, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, ErrSyntax) {
			t.Fatal(err)
		}
		return
	}
	uids := map[string]uint64{}
	for i, name := range r.Blank() {
		uids[name] = uint64(i) + 1
	}
	m, err := r.Mutation(1, func(name string) uint64 { return uids[name] })
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Set) != len(r.Set) || len(m.Del) != len(r.Del) {
		t.Fatalf("%d and %d quads became %d and %d edges", len(r.Set), len(r.Del), len(m.Set), len(m.Del))
	}
	for _, e := range m.Set {
		if e.UID == 0 || e.Predicate.Name == "" || e.Star || e.Lang != "" && e.Object != 0 {
			t.Fatalf("bad edge %+v", e)
		}
	}
	for _, e := range m.Del {
		if e.UID == 0 || e.Predicate.Name == "" && !e.Star {
			t.Fatalf("bad edge %+v", e)
		}
	}
}

// Passwords take long to hash; those that an export has hashed do not.
func TestManyPasswords(t *testing.T) {
	const hashed = `<1> <secret> "$2a$10$jxTepBT7pxa8Zb.Gzg6bJ.jM7VcQ0/Th8PrdzQUvfwTUyPrtNn5Vy"^^<xs:password> .` + "\n"
	r, err := ParseRDF([]byte("{set{" + strings.Repeat(hashed, 1000) + "}}"))
	if err != nil || len(r.Set) != 1000 {
		t.Errorf("hashes: %v", err)
	}
	for _, c := range []struct {
		before int
		want   bool
	}{{store.MaxPasswords - 1, true}, {store.MaxPasswords, false}} {
		p := &rdfParser{text: `"open sesame"^^<xs:password> .`, line: 1, hashes: c.before}
		if err := p.literal(&NQuad{}); (err == nil) != c.want {
			t.Errorf("after %d others: %v", c.before, err)
		}
	}
}
