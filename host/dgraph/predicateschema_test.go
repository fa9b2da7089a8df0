package dgraph

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

// What real servers store of predicates and types is read, and written as the same
// bytes; and the text of it is read as the same.
func TestRealSchemasAreWrittenAsTheyWere(t *testing.T) {
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
				for _, to := range []Form{FormV20, FormV21, FormV23} {
					var got, want, text []byte
					var err error
					if k.Kind == KeyType {
						var s TypeSchema
						if s, err = ParseTypeSchema(k.Predicate, kv.Value); err == nil {
							text = []byte(s.Text())
							got, err = s.AppendUpdate([]byte("x"), to)
						}
						_, again, perr := ParseSchemaText(9, string(text))
						if perr != nil || len(again) != 1 || !reflect.DeepEqual(again[0].Fields, s.Fields) || again[0].Predicate != s.Predicate {
							t.Errorf("%s: %s was read as %+v, %v", file, text, again, perr)
						}
						want, _ = ConvertType([]byte("x"), kv.Value, k.Predicate, own, to)
					} else {
						var s PredicateSchema
						if s, err = ParsePredicateSchema(k.Predicate, kv.Value); err == nil {
							text = []byte(s.Text())
							got, err = s.AppendUpdate([]byte("x"), to)
						}
						again, _, perr := ParseSchemaText(9, string(text))
						if perr != nil || len(again) != 1 || !reflect.DeepEqual(again[0], s) {
							t.Errorf("%s: %s was read as %+v, %v; want %+v", file, text, again, perr, s)
						}
						want, _ = ConvertSchema([]byte("x"), kv.Value, k.Predicate, to)
					}
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %s in form %s = %q, %v; want %q", file, k.Predicate, to, got, err, want)
					}
				}
			})
			if values == 0 {
				t.Error("no schema")
			}
		})
	}
}

func TestPredicateSchemasComeBack(t *testing.T) {
	p := Predicate{0x1f, "name"}
	for _, s := range []PredicateSchema{
		{Predicate: p},
		{Predicate: p, Type: ValueString, Lang: true, Upsert: true, Unique: true, NoConflict: true, Tokenizers: []string{"term", "exact"}},
		{Predicate: p, Type: ValueUID, List: true, Reverse: true, Count: true},
		{Predicate: p, Type: ValueVector, Vector: `hnsw(metric:"cosine",exponent:"4")`},
		{Predicate: p, Type: ValueVector, Vector: `hnsw()`},
		{Predicate: p, Type: ValueInt, Rest: []byte("\x18\x03\x50\x01\xfa\x07\x01x")},
	} {
		for _, f := range []Form{FormV21, FormV23} {
			b, err := s.AppendUpdate(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ParsePredicateSchema(p, b); err != nil || !reflect.DeepEqual(got, s) {
				t.Errorf("%+v came back as %+v, %v", s, got, err)
			}
		}
		if _, err := s.AppendUpdate(nil, FormV20); !errors.Is(err, ErrForm) {
			t.Errorf("namespace 0x1f in form v20: %v; want ErrForm", err)
		}
	}
	bad := PredicateSchema{Predicate: p, Type: ValueVector, Vector: `hnsw(metric: "cosine")`} // with a blank
	if b, err := bad.AppendUpdate(nil, FormV23); !errors.Is(err, ErrSchema) {
		t.Errorf("%q, %v; want ErrSchema", b, err)
	}
	bad = PredicateSchema{Predicate: p, Rest: []byte("\x18")}
	if b, err := bad.AppendUpdate(nil, FormV23); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%q, %v; want ErrCorrupt", b, err)
	}
	types := TypeSchema{Predicate: p, Fields: []string{"a"}, FieldRest: [][]byte{nil, nil}}
	if b, err := types.AppendUpdate(nil, FormV23); !errors.Is(err, ErrSchema) {
		t.Errorf("%q, %v; want ErrSchema", b, err)
	}
}

func TestParseSchemaText(t *testing.T) {
	const text = "\t# people\n" +
		`name: string @index(term, exact) @lang @count .
		<friend of>: [uid] @reverse @count . # and back`
	for _, c := range []struct {
		text       string
		predicates []PredicateSchema
		types      []TypeSchema
	}{
		{"", nil, nil},
		{" # nothing", nil, nil},
		{`name: string .`, []PredicateSchema{{Predicate: Predicate{7, "name"}, Type: ValueString}}, nil},
		{`name: String.`, []PredicateSchema{{Predicate: Predicate{7, "name"}, Type: ValueString}}, nil},
		{`Person.name:default .`, []PredicateSchema{{Predicate: Predicate{7, "Person.name"}}}, nil},
		{`type: string .`, []PredicateSchema{{Predicate: Predicate{7, "type"}, Type: ValueString}}, nil},
		{`<имя>: string .`, []PredicateSchema{{Predicate: Predicate{7, "имя"}, Type: ValueString}}, nil},
		{`<http://schema.org/name#x>: dateTime @index(hour) .`, []PredicateSchema{{Predicate: Predicate{7, "http://schema.org/name#x"}, Type: ValueDatetime, Tokenizers: []string{"hour"}}}, nil},
		{
			"# people\nname: string @index(term, exact)\n @lang @count .\n<friend-of>: [uid] @reverse @count . # and back\nage: int @index(int) @unique @noconflict .",
			[]PredicateSchema{
				{Predicate: Predicate{7, "name"}, Type: ValueString, Tokenizers: []string{"term", "exact"}, Lang: true, Count: true},
				{Predicate: Predicate{7, "friend-of"}, Type: ValueUID, List: true, Reverse: true, Count: true},
				{Predicate: Predicate{7, "age"}, Type: ValueInt, Tokenizers: []string{"int"}, Upsert: true, Unique: true, NoConflict: true},
			},
			nil,
		},
		{
			`shape: float32vector @index(hnsw(metric: "cosine", exponent:"4")) . s2: float32vector @index(hnsw) .`,
			[]PredicateSchema{
				{Predicate: Predicate{7, "shape"}, Type: ValueVector, Vector: `hnsw(metric:"cosine",exponent:"4")`},
				{Predicate: Predicate{7, "s2"}, Type: ValueVector, Vector: `hnsw()`},
			},
			nil,
		},
		{
			"[0x1] <name>:string . \n[0x1] type <Person> {\n\tname\n\t<~boss>\n}\n[31] age: [int] .",
			[]PredicateSchema{
				{Predicate: Predicate{1, "name"}, Type: ValueString},
				{Predicate: Predicate{31, "age"}, Type: ValueInt, List: true},
			},
			[]TypeSchema{{Predicate: Predicate{1, "Person"}, Fields: []string{"name", "~boss"}}},
		},
		{
			"type Person { name  friend: [Person!]!  <~parent>\n~boss\n age: int }\ntype Empty {}",
			nil,
			[]TypeSchema{
				{Predicate: Predicate{7, "Person"}, Fields: []string{"name", "friend", "~parent", "~boss", "age"}},
				{Predicate: Predicate{7, "Empty"}},
			},
		},
		{
			"a: int .\nb: int .\na: string .\ntype T { a }\ntype T { b }",
			[]PredicateSchema{{Predicate: Predicate{7, "a"}, Type: ValueString}, {Predicate: Predicate{7, "b"}, Type: ValueInt}},
			[]TypeSchema{{Predicate: Predicate{7, "T"}, Fields: []string{"b"}}},
		},
	} {
		predicates, types, err := ParseSchemaText(7, c.text)
		if err != nil || !reflect.DeepEqual(predicates, c.predicates) || !reflect.DeepEqual(types, c.types) {
			t.Errorf("%q:\n%+v, %+v, %v; want\n%+v, %+v", c.text, predicates, types, err, c.predicates, c.types)
		}
	}
	if _, _, err := ParseSchemaText(0, text); err == nil || !strings.Contains(err.Error(), "line 3: invalid name \"friend of\"") {
		t.Errorf("a blank in a name: %v", err)
	}
}

func TestErrorsOfSchemaTextSayWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"name":                                         `line 1: expected : after the predicate name, got the end`,
		"name: string":                                 `line 1: invalid ending: expected a directive or . after the predicate name, got the end`,
		"\n\nname: text .":                             `line 3: undefined type "text" of the predicate name: there are default, int,`,
		"name: .":                                      `missing type of the predicate name: got "."`,
		"name: [string .":                              `unclosed [ while parsing schema for: name`,
		"name: string] .":                              `invalid ending: expected a directive or . after the predicate name, got "]"`,
		"name: [bool] .":                               `unsupported type for list: [bool]`,
		"name: [password] .":                           `unsupported type for list: [password]`,
		"имя: string .":                                `the name "имя" must stand in < >`,
		"2nd: string .":                                `the name "2nd" must stand in < >`,
		"<a\nb>: string .":                             `line 1: expected the name of a predicate, got "<a"`,
		"<>: string .":                                 `invalid name: it is empty`,
		"<~friend>: uid .":                             `<~friend> is the way back along <friend>: give that one @reverse`,
		"name: int @reverse .":                         `cannot reverse for non-uid type: name is of type int`,
		"name: [string] @lang .":                       `@lang directive can only be specified for string type`,
		"name: string @indx .":                         `invalid directive "indx": there are @index,`,
		"name: string @ .":                             `missing directive after @: got "."`,
		"name: string @index .":                        `require type of tokenizer for pred: name for indexing: write @index(...) with any of exact, term, fulltext, trigram, hash, sha256, ngram`,
		"name: string @index() .":                      `expected a tokenizer, any of exact,`,
		"name: string @index(exact .":                  `expected a comma or ) after a tokenizer, got "."`,
		"name: string @index(int) .":                   `tokenizer: int isn't valid for predicate: name of type: string: it can have exact,`,
		"name: string @index(words) .":                 `invalid tokenizer "words": name can have exact,`,
		"name: string @index(term, term) .":            `duplicate tokenizer term present for attr name`,
		"born: datetime @index(year, hour) .":          `only one index tokenizer can be sortable for born: year or hour`,
		"friend: [uid] @index(exact) .":                `indexing not allowed on predicate friend of type uid`,
		"pass: password @index(exact) .":               `indexing not allowed on predicate pass of type password`,
		"mail: string @unique .":                       `index for predicate [mail] is missing, add either hash or exact index with @unique`,
		"age: int @unique .":                           `index for predicate [age] is missing, add int index with @unique`,
		"f: float @unique .":                           `@unique is for string and int, and f is of type float`,
		"v: float32vector @index(ivf) .":               `invalid vector index "ivf": write hnsw(metric:"cosine")`,
		`v: float32vector @index(hnsw(m:"1")) .`:       `invalid option "m" of hnsw`,
		`v: float32vector @index(hnsw(metric:1)).`:     `expected a value in quotes after metric:, got "1"`,
		`v: float32vector @index(hnsw(metric:"x")).`:   `invalid metric "x"`,
		`v: float32vector @index(hnsw(efSearch:"x")).`: `efSearch must be a whole number from 1 up, got "x"`,
		`v: float32vector @index(hnsw(metric:"cosine",metric:"cosine")).`: `duplicate option metric of hnsw`,
		`v: float32vector @index(hnsw(metric:"cosine" exponent:"4")).`:    `expected a comma or ) after an option of hnsw, got "exponent"`,
		`v: float32vector @index(hnsw, hnsw).`:                            `predicate v has two vector indexes`,
		"[0x] name: string .":                                             `"0x" is no namespace: write it as [0x1f]`,
		"[0x1 name: string .":                                             `expected ] after a namespace, got "name"`,
		"type Person name }":                                              `expected { after the type Person, got "name"`,
		"type Person { name":                                              `expected the name of a field, got the end`,
		"type Person { name name }":                                       `duplicate fields with name: name`,
		"type Person { name: [string }":                                   `expected matching square bracket after the type of the field name, got "}"`,
		"type Person { name: ! }":                                         `missing type of the field name: got "!"`,
		"type { name }":                                                   `expected the name of a type, got "{"`,
		"}":                                                               `expected the name of a predicate, got "}"`,
		strings.Repeat("x", 70000) + ": string .":                         `invalid name "` + strings.Repeat("x", 40) + `...": it has 70000 bytes, and 65527 are allowed`,
		"\xff": `it is not UTF-8`,
		"name: " + strings.Repeat("é", 60) + " .": `undefined type "` + strings.Repeat("é", 40) + `..."`,
	} {
		_, _, err := ParseSchemaText(0, text)
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v; want %s", text, err, want)
		}
	}
}

func FuzzParseSchemaText(f *testing.F) {
	f.Add("name: string @index(term, exact) @lang . # c\n<a b>: [uid] @reverse @count .")
	f.Add("[0x1] <v>:float32vector @index(hnsw(metric:\"cosine\",exponent:\"4\")) .\n[0x1] type <P> { a\n<~b> c: [P!]! }")
	f.Fuzz(func(t *testing.T, text string) {
		predicates, types, err := ParseSchemaText(3, text)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Fatal(err)
			}
			return
		}
		for _, s := range predicates {
			b, err := s.AppendUpdate(nil, FormV23)
			if err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			if back, err := ParsePredicateSchema(s.Predicate, b); err != nil || !reflect.DeepEqual(back, s) {
				t.Fatalf("%+v was stored as %+v, %v", s, back, err)
			}
			if back, _, err := ParseSchemaText(0, s.Text()); err != nil || len(back) != 1 || !reflect.DeepEqual(back[0], s) {
				t.Fatalf("%s was read as %+v, %v", s.Text(), back, err)
			}
		}
		for _, s := range types {
			b, err := s.AppendUpdate(nil, FormV23)
			if err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			if back, err := ParseTypeSchema(s.Predicate, b); err != nil || !reflect.DeepEqual(back, s) {
				t.Fatalf("%+v was stored as %+v, %v", s, back, err)
			}
			if _, back, err := ParseSchemaText(0, s.Text()); err != nil || len(back) != 1 || !reflect.DeepEqual(back[0], s) {
				t.Fatalf("%s was read as %+v, %v", s.Text(), back, err)
			}
		}
	})
}

func FuzzParsePredicateSchema(f *testing.F) {
	seeds(f, func(k *Key, kv *pb.KV) {
		if k.Kind == KeyType || k.Kind == KeySchema {
			f.Add(kv.Value)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Predicate{0x1f, "name"}
		if s, err := ParsePredicateSchema(p, b); err == nil {
			once, err := s.AppendUpdate(nil, FormV23)
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParsePredicateSchema(p, once)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := back.AppendUpdate(nil, FormV23); err != nil || !bytes.Equal(twice, once) {
				t.Fatalf("%x became %x, then %x, %v", b, once, twice, err)
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if s, err := ParseTypeSchema(p, b); err == nil {
			once, err := s.AppendUpdate(nil, FormV23)
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParseTypeSchema(p, once)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := back.AppendUpdate(nil, FormV23); err != nil || !bytes.Equal(twice, once) {
				t.Fatalf("%x became %x, then %x, %v", b, once, twice, err)
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
