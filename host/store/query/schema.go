package query

import (
	"encoding/json"
	"maps"
	"slices"
)

// A predicateAnswer is a predicate as Dgraph's answer to schema { } has it.
type predicateAnswer struct {
	Predicate  string   `json:"predicate"`
	Type       string   `json:"type,omitempty"`
	Index      bool     `json:"index,omitempty"`
	Tokenizer  []string `json:"tokenizer,omitempty"`
	Reverse    bool     `json:"reverse,omitempty"`
	Count      bool     `json:"count,omitempty"`
	List       bool     `json:"list,omitempty"`
	Upsert     bool     `json:"upsert,omitempty"`
	Lang       bool     `json:"lang,omitempty"`
	Unique     bool     `json:"unique,omitempty"`
	NoConflict bool     `json:"no_conflict,omitempty"`
}

type typeAnswer struct {
	Fields []fieldAnswer `json:"fields"`
	Name   string        `json:"name"`
}

type fieldAnswer struct {
	Name string `json:"name"`
}

// describe appends the members schema and types.
func (r *run) describe(dst []byte, q schemaQuery, a *Answer) ([]byte, error) {
	if !q.onlyTypes {
		predicates, built := []predicateAnswer{}, true
		for _, name := range chosen(r.schema, q.predicates) {
			p := r.schema[name]
			x := predicateAnswer{
				Predicate: name, Type: p.Type.Name(), Index: len(p.Tokenizers) > 0 || p.Vector != "", Tokenizer: p.Tokenizers,
				Reverse: p.Reverse, Count: p.Count, List: p.List, Upsert: p.Upsert, Lang: p.Lang, Unique: p.Unique, NoConflict: p.NoConflict,
			}
			built = built && !x.Index && !x.Reverse && !x.Count
			predicates = append(predicates, x.only(q.fields))
		}
		if !built {
			a.Warnings = append(a.Warnings, "index, reverse and count are kept in the schema, but no keys are built for them here")
		}
		var err error
		if dst, err = appendMember(dst, "schema", predicates); err != nil {
			return dst, err
		}
	}
	types := []typeAnswer{}
	for _, name := range chosen(r.types, q.types) {
		t := typeAnswer{Name: name, Fields: []fieldAnswer{}}
		for _, f := range r.types[name] {
			t.Fields = append(t.Fields, fieldAnswer{f})
		}
		types = append(types, t)
	}
	if len(types) == 0 {
		return dst, nil
	}
	return appendMember(dst, "types", types)
}

// chosen returns those of the wanted names that there are, or all.
func chosen[T any](have map[string]T, want []string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if want == nil || slices.Contains(want, name) {
			names = append(names, name)
		}
	}
	return names
}

// only leaves of x what was asked for, and its name.
func (x predicateAnswer) only(fields []string) predicateAnswer {
	if fields == nil {
		return x
	}
	has := func(name string) bool { return slices.Contains(fields, name) }
	y := predicateAnswer{Predicate: x.Predicate}
	if has("type") {
		y.Type = x.Type
	}
	if has("tokenizer") {
		y.Tokenizer = x.Tokenizer
	}
	y.Index, y.Reverse, y.Count = x.Index && has("index"), x.Reverse && has("reverse"), x.Count && has("count")
	y.List, y.Upsert, y.Lang = x.List && has("list"), x.Upsert && has("upsert"), x.Lang && has("lang")
	y.Unique = x.Unique && has("unique")
	y.NoConflict = x.NoConflict && (has("no_conflict") || has("noconflict"))
	return y
}

func appendMember(dst []byte, key string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(appendKey(dst, key), text...), err
}
