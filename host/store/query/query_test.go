package query_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/host/store/query"
)

const people = `
	name: string @lang .
	age: int .
	height: float .
	alive: bool .
	born: datetime .
	secret: password .
	tags: [string] .
	nick: default .
	boss: uid .
	friend: [uid] @reverse .
	<http://example.org/a,b>: string @index(exact) .
	type Person { name age secret boss friend tags }
	type Animal { nick }
`

// world is a store with a few people in namespace 0, and one of the same uid in namespace 1.
func world(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, ns := range []uint64{0, 1} {
		predicates, types, err := dgraph.ParseSchemaText(ns, people)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Alter(t.Context(), predicates, types); err != nil {
			t.Fatal(err)
		}
	}
	in := func(ns uint64) func(uid uint64, name, lang, text string) store.Edge {
		return func(uid uint64, name, lang, text string) store.Edge {
			v := dgraph.Value{Type: dgraph.ValueDefault, Data: []byte(text)}
			return store.Edge{UID: uid, Predicate: dgraph.Predicate{Namespace: ns, Name: name}, Value: v, Lang: lang}
		}
	}
	value, edge := in(0), func(uid uint64, name string, to uint64) store.Edge {
		return store.Edge{UID: uid, Predicate: dgraph.Predicate{Name: name}, Object: to}
	}
	set := []store.Edge{
		value(1, "dgraph.type", "", "Person"), value(1, "name", "", "Alice"), value(1, "name", "en", "Alice B."), value(1, "name", "fr", "Aline"),
		value(1, "age", "", "42"), value(1, "height", "", "1.5"), value(1, "alive", "", "true"), value(1, "born", "", "1980-05-06T07:08:09Z"),
		value(1, "secret", "", "sesame-opens"), value(1, "tags", "", "a\"b"), value(1, "tags", "", "c"), value(1, "http://example.org/a,b", "", "iri"),
		edge(1, "boss", 3), edge(1, "friend", 2), edge(1, "friend", 3), edge(1, "friend", 0x10),
		value(2, "dgraph.type", "", "Person"), value(2, "name", "", "Bob"), value(2, "age", "", "7"),
		value(3, "dgraph.type", "", "Animal"), value(3, "name", "de", "Carla"), value(3, "nick", "", "cc"), edge(3, "friend", 1),
		in(1)(2, "name", "", "Other"),
	}
	if _, err := s.Mutate(t.Context(), store.Mutation{Set: set}); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *store.Store, ns uint64, text string, variables map[string]string) (string, error) {
	t.Helper()
	q, err := query.Parse(text, variables)
	if err != nil {
		return "", err
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	a, err := q.Run(t.Context(), s, v, ns)
	if err != nil {
		return "", err
	}
	return string(a.JSON), nil
}

func TestAnswers(t *testing.T) {
	s := world(t)
	for q, want := range map[string]string{
		`{ q(func: uid(0x1)) { uid name } }`:                               `{"q":[{"uid":"0x1","name":"Alice"}]}`,
		`{q(func:uid(2,0x1,2)){name}}`:                                     `{"q":[{"name":"Alice"},{"name":"Bob"}]}`,
		`{ q(func: uid(0x99)) { uid } }`:                                   `{"q":[{"uid":"0x99"}]}`,
		`{ q(func: uid(0x99)) { name } }`:                                  `{"q":[]}`,
		`{ q(func: uid()) { name } }`:                                      `{"q":[]}`,
		`{ q(func: uid(1)) { name@en n: name@de:fr name@xx } }`:            `{"q":[{"name@en":"Alice B.","n":"Aline"}]}`,
		`{ q(func: uid(1)) { name@xx:. } }`:                                `{"q":[{"name@xx:.":"Alice"}]}`,
		`{ q(func: uid(3)) { name name@. } }`:                              `{"q":[{"name@.":"Carla"}]}`,
		`{ q(func: uid(1)) { age height alive born } }`:                    `{"q":[{"age":42,"height":1.500000,"alive":true,"born":"1980-05-06T07:08:09Z"}]}`,
		`{ q(func: uid(1)) { <http://example.org/a,b> } }`:                 `{"q":[{"http://example.org/a,b":"iri"}]}`,
		`{ q(func: uid(1)) { boss { uid nick } } }`:                        `{"q":[{"boss":{"uid":"0x3","nick":"cc"}}]}`,
		`{ q(func: uid(1)) { boss { age } } }`:                             `{"q":[]}`,
		`{ q(func: uid(1)) { friend { name uid } } }`:                      `{"q":[{"friend":[{"name":"Bob","uid":"0x2"},{"uid":"0x3"},{"uid":"0x10"}]}]}`,
		`{ q(func: uid(1)) { friend { name } } }`:                          `{"q":[{"friend":[{"name":"Bob"}]}]}`,
		`{ q(func: uid(2)) { uid friend { name } } }`:                      `{"q":[{"uid":"0x2"}]}`,
		`{ q(func: uid(1)) { friend(first:1,offset:1) { uid } } }`:         `{"q":[{"friend":[{"uid":"0x3"}]}]}`,
		`{ q(func: uid(1)) { friend (after: 0x3) { uid } } }`:              `{"q":[{"friend":[{"uid":"0x10"}]}]}`,
		`{ q(func: uid(1)) { friend (first: -1) { uid } } }`:               `{"q":[{"friend":[{"uid":"0x10"}]}]}`,
		`{ q(func: uid(1)) { friend { count(uid) } } }`:                    `{"q":[{"friend":[{"count":3}]}]}`,
		`{ q(func: uid(1)) { friend { n: count(uid) name } } }`:            `{"q":[{"friend":[{"n":3},{"name":"Bob"}]}]}`,
		`{ q(func: uid(1)) { count(friend) c: count(tags) count(name) } }`: `{"q":[{"count(friend)":3,"c":2,"count(name)":3}]}`,
		`{ q(func: uid(2)) { count(friend) } }`:                            `{"q":[{"count(friend)":0}]}`,
		`{ q(func: uid(1)) { friend { friend { friend { name } } } } }`:    `{"q":[{"friend":[{"friend":[{"friend":[{"name":"Bob"}]}]}]}]}`,
		`{ q(func: uid(1)) { uid uid a: uid name name } }`:                 `{"q":[{"uid":"0x1","a":"0x1","name":"Alice"}]}`,
		`{ q(func: uid(1)) { never tags (first: 0) } }`:                    "",
		`{ q(func: has(name)) { uid } }`:                                   `{"q":[{"uid":"0x1"},{"uid":"0x2"},{"uid":"0x3"}]}`,
		`{ q(func: has(name), first: 1, offset: 1) { uid } }`:              `{"q":[{"uid":"0x2"}]}`,
		`{ q(func: has(name), first: -2) { uid } }`:                        `{"q":[{"uid":"0x2"},{"uid":"0x3"}]}`,
		`{ q(func: has(name), first: -1, offset: 1) { uid } }`:             `{"q":[{"uid":"0x2"}]}`,
		`{ q(func: has(name), after: 0x1) { uid } }`:                       `{"q":[{"uid":"0x2"},{"uid":"0x3"}]}`,
		`{ q(func: has(name)) { count(uid) } }`:                            `{"q":[{"count":3}]}`,
		`{ q(func: has(nothing)) { uid } }`:                                `{"q":[]}`,
		`{ q(func: has(nothing)) { count(uid) } }`:                         `{"q":[{"count":0}]}`,
		`{ q(func: eq(name, "Bob")) { uid } }`:                             `{"q":[{"uid":"0x2"}]}`,
		`{ q(func: eq(name, "Bob", "Alice")) { uid } }`:                    `{"q":[{"uid":"0x1"},{"uid":"0x2"}]}`,
		`{ q(func: eq(name, ["Bob", "x"])) { uid } }`:                      `{"q":[{"uid":"0x2"}]}`,
		`{ q(func: eq(name@fr, "Aline")) { uid } }`:                        `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(name, "Aline")) { uid } }`:                           `{"q":[]}`,
		`{ q(func: eq(age, 42)) { uid } }`:                                 `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(age, "42")) { uid } }`:                               `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(alive, true)) { uid } }`:                             `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(born, "1980-05-06T09:08:09+02:00")) { uid } }`:       `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(tags, "c")) { uid } }`:                               `{"q":[{"uid":"0x1"}]}`,
		`{ q(func: eq(nothing, "c")) { uid } }`:                            `{"q":[]}`,
		`{ q(func: type(Person)) { uid } }`:                                `{"q":[{"uid":"0x1"},{"uid":"0x2"}]}`,
		`{ q(func: uid(3)) { expand(_all_) } }`:                            `{"q":[{"nick":"cc"}]}`,
		`{ q(func: uid(2)) { expand(_all_) { uid } dgraph.type } }`:        `{"q":[{"age":7,"name":"Bob","dgraph.type":["Person"]}]}`,
		`{ q(func: uid(3)) { expand(Person, Animal) { uid } } }`:           `{"q":[{"friend":[{"uid":"0x1"}],"name@de":"Carla","nick":"cc"}]}`,
		`{ a(func: uid(1)) { name } b(func: uid(2)) { name } }`:            `{"a":[{"name":"Alice"}],"b":[{"name":"Bob"}]}`,
		"query {\n# a comment\n q(func: uid(1)) { name } }":                `{"q":[{"name":"Alice"}]}`,
	} {
		got, err := ask(t, s, 0, q, nil)
		if want == "" {
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", q, got, err, want)
		}
	}
	if got, err := ask(t, s, 1, `{ q(func: has(name)) { uid name } }`, nil); err != nil || got != `{"q":[{"uid":"0x2","name":"Other"}]}` {
		t.Errorf("namespace 1: %s, %v", got, err)
	}
}

func TestTagsAreAList(t *testing.T) {
	got, err := ask(t, world(t), 0, `{ q(func: uid(1)) { tags } }`, nil)
	if err != nil || !strings.HasPrefix(got, `{"q":[{"tags":["`) || !strings.Contains(got, `"a\"b"`) || !strings.Contains(got, `"c"`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestVariables(t *testing.T) {
	s := world(t)
	const q = `query q($id: string, $n: int = 2, $name: string = "Bob") { a(func: uid($id), first: $n) { name } b(func: eq(name, $name)) { uid } }`
	got, err := ask(t, s, 0, q, map[string]string{"$id": "[0x1, 0x2, 0x3]"})
	if want := `{"a":[{"name":"Alice"},{"name":"Bob"}],"b":[{"uid":"0x2"}]}`; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, v := range []map[string]string{nil, {"$id": "1", "$other": "x"}} {
		if got, err := ask(t, s, 0, q, v); !errors.Is(err, query.ErrQuery) {
			t.Errorf("variables %v: %s, %v", v, got, err)
		}
	}
	if got, err := ask(t, s, 0, `query q($n: string) { a(func: eq(name, $n)) { uid } }`, map[string]string{"$n": `") { uid } } #`}); err != nil || got != `{"a":[]}` {
		t.Errorf("a variable is a value and no text: %s, %v", got, err)
	}
}

func TestSchemaAnswer(t *testing.T) {
	s := world(t)
	q, err := query.Parse(`schema { }`, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	a, err := q.Run(t.Context(), s, v, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"predicate":"age","type":"int"}`, `{"predicate":"friend","type":"uid","reverse":true,"list":true}`, `{"predicate":"name","type":"string","lang":true}`,
		`{"predicate":"http://example.org/a,b","type":"string","index":true,"tokenizer":["exact"]}`,
		`"types":[{"fields":[{"name":"nick"}],"name":"Animal"},{"fields":[{"name":"name"},`,
	} {
		if !strings.Contains(string(a.JSON), part) {
			t.Errorf("the schema lacks %s:\n%s", part, a.JSON)
		}
	}
	if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "no keys are built") {
		t.Errorf("warnings: %q", a.Warnings)
	}
	for text, want := range map[string]string{
		`schema(pred: [age, name]) { type lang }`: `{"schema":[{"predicate":"age","type":"int"},{"predicate":"name","type":"string","lang":true}]}`,
		`schema(pred: friend) { list }`:           `{"schema":[{"predicate":"friend","list":true}]}`,
		`schema(type: Animal) { }`:                `{"types":[{"fields":[{"name":"nick"}],"name":"Animal"}]}`,
	} {
		if got, err := ask(t, s, 0, text, nil); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", text, got, err, want)
		}
	}
}

// What is not there is named, and what is there instead.
func TestRefusals(t *testing.T) {
	s := world(t)
	for q, part := range map[string]string{
		``:                              "asks for nothing",
		`{`:                             "the end",
		`{ q }`:                         `where '(' should be`,
		`hello`:                         "hello",
		`{ q(func: uid(1)) { name }`:    "the end",
		`{ q(func: uid(zz)) { name } }`: "no uid",
		`{ q(func: uid(0)) { name } }`:  "no uid",
		`{ q(first: 1) { name } }`:      "has no func",
		`{ q(func: allofterms(name, "a")) { name } }`:              "allofterms",
		`{ q(func: has(~friend)) { name } }`:                       "~friend",
		`{ q(func: has(name)) @filter(eq(age, 1)) { name } }`:      "@filter",
		`{ q(func: has(name)) @cascade { name } }`:                 "@cascade",
		`{ q(func: has(name), orderasc: name) { name } }`:          "orderasc",
		`{ q(func: has(name)) { friend @facets { name } } }`:       "@facets",
		`{ q(func: has(name)) { ~friend { name } } }`:              "~friend",
		`{ q(func: has(name)) { x as age } }`:                      "variable",
		`{ x as q(func: has(name)) { age } }`:                      "variable",
		`{ var(func: has(name)) { age } }`:                         "variable",
		`{ q(func: has(name)) { val(x) } }`:                        "val()",
		`{ q(func: has(name)) { max(age) } }`:                      "max()",
		`{ q(func: has(name)) { ...people } }`:                     "fragment",
		`{ q(func: has(name)) { friend } }`:                        "leads to nodes",
		`{ q(func: has(name)) { age { uid } } }`:                   "leads to no nodes",
		`{ q(func: has(name)) { age@en } }`:                        "no languages",
		`{ q(func: has(name)) { secret } }`:                        "of type password cannot be fetched",
		`{ q(func: eq(secret, "sesame-opens")) { uid } }`:          "password",
		`{ q(func: eq(boss, "0x3")) { uid } }`:                     "uid",
		`{ q(func: eq(age, "x")) { uid } }`:                        "age",
		`{ q(func: eq(name, val(x))) { uid } }`:                    "val()",
		`{ q(func: eq(name)) { uid } }`:                            "nothing",
		`{ q(func: has(name), first: x) { uid } }`:                 "no number",
		`{ q(func: has(name), offset: -1) { uid } }`:               "no number",
		`{ a(func: uid(1)) { uid } a(func: uid(1)) { uid } }`:      "two blocks",
		`{ q(func: eq(name, "a)) { uid } }`:                        "without its end",
		`{ q(func: eq(name, $x)) { uid } }`:                        "not declared",
		`mutation { backup }`:                                      "mutation",
		`schema { vectors }`:                                       "vectors",
		"\xff":                                                     "UTF-8",
		`{ q(func: uid(1)) ` + strings.Repeat("{ a ", 100) + ` } `: "deeper",
	} {
		got, err := ask(t, s, 0, q, nil)
		if !errors.Is(err, query.ErrQuery) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %s, %v; want an error with %s", q, got, err, part)
		}
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	s := world(t)
	var set []store.Edge
	for uid := uint64(100); uid < 160; uid++ {
		for to := uint64(100); to < 160; to++ {
			set = append(set, store.Edge{UID: uid, Predicate: dgraph.Predicate{Name: "friend"}, Object: to})
		}
	}
	if _, err := s.Mutate(t.Context(), store.Mutation{Set: set}); err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("x", 1000)
	deep := fmt.Sprintf(`{ q(func: uid(100)) { %s %s: uid %s } }`, strings.Repeat("friend { "+key+": uid ", 8), key, strings.Repeat("} ", 8))
	if _, err := ask(t, s, 0, deep, nil); !errors.Is(err, query.ErrTooLarge) {
		t.Errorf("60 to the eighth nodes: %v", err)
	}

	q, err := query.Parse(fmt.Sprintf(`{ q(func: uid(100)) { %s never %s } }`, strings.Repeat("friend { ", 8), strings.Repeat("} ", 8)), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Run(ctx, s, v, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{ q(func: uid(0x1, 2), first: 3) { uid name@en:. friend (first: -1) { count(uid) } expand(_all_) { uid } } }`,
		`query q($a: string = "x") { q(func: eq(<a b>, $a, [1, 2])) { n: count(friend) } } schema(pred: [a]) { type }`,
		`{q(func:has(name)){a:`, `{q(func:uid(`, "{q(func:eq(a,\"\\", `schema(`, `query q($`, `{q(func:uid(1)){a@`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := query.Parse(text, map[string]string{"$a": "1"}); err != nil && !errors.Is(err, query.ErrQuery) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// A node without a type has nothing to expand, and that is told.
func TestWarningOfExpand(t *testing.T) {
	s := world(t)
	set := []store.Edge{
		{UID: 4, Predicate: dgraph.Predicate{Name: "name"}, Value: dgraph.Value{Data: []byte("Dora")}},
		{UID: 5, Predicate: dgraph.Predicate{Name: "dgraph.type"}, Value: dgraph.Value{Data: []byte("Stone")}},
	}
	if _, err := s.Mutate(t.Context(), store.Mutation{Set: set}); err != nil {
		t.Fatal(err)
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for text, want := range map[string]int{
		`{ q(func: uid(1)) { expand(_all_) } }`:     0,
		`{ q(func: uid(4)) { expand(Person) } }`:    0,
		`{ q(func: uid(1, 4)) { expand(_all_) } }`:  1,
		`{ q(func: uid(5)) { uid expand(_all_) } }`: 1,
	} {
		q, err := query.Parse(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := q.Run(t.Context(), s, v, 0); err != nil || len(a.Warnings) != want {
			t.Errorf("%s: %q, %v; want %d warnings", text, a.Warnings, err, want)
		}
	}
}

func TestMoreThanOneQueryMayAskFor(t *testing.T) {
	for _, text := range []string{
		"{ q(func: uid(1)) { " + strings.Repeat("name ", 10_001) + "} }",
		"{ q(func: uid(1)) { friend { " + strings.Repeat("name ", 6_000) + "} boss { " + strings.Repeat("name ", 6_000) + "} } }",
		strings.Repeat("schema { type } ", 10_001),
	} {
		if _, err := query.Parse(text, nil); !errors.Is(err, query.ErrQuery) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%.40s...: %v", text, err)
		}
	}
}
