package schedule

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// known reports every key that the type of v does not have, and what it would not hold whole.
func known(p *problems, n *yaml.Node, v any) { knownIn(p, n, reflect.TypeOf(v), "the configuration") }

func knownIn(p *problems, n *yaml.Node, t reflect.Type, what string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case t == reflect.TypeFor[Settings]():
	case t.Kind() == reflect.Int && n.Tag == "!!float": // of which package yaml would take the whole part
		p.add(n.Line, "a whole number is wanted")
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			knownIn(p, item, t.Elem(), what)
		}
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		fields := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if key.Tag == "!!merge" {
				merged(p, value, t, what)
				continue
			}
			f, ok := fields[key.Value]
			if !ok {
				unknown(p, key, fields, what)
				continue
			}
			knownIn(p, value, f, "\""+key.Value+"\"")
		}
	}
}

// merged looks at what "<<" brings in.
func merged(p *problems, n *yaml.Node, t reflect.Type, what string) {
	if n.Kind != yaml.SequenceNode {
		knownIn(p, n, t, what)
		return
	}
	for _, item := range n.Content {
		knownIn(p, item, t, what)
	}
}

// fieldsOf returns the types of a struct's fields by their names in YAML.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

func unknown(p *problems, key *yaml.Node, fields map[string]reflect.Type, what string) {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	text := ""
	for _, name := range names {
		if near(name, key.Value) {
			text = ", did you mean \"" + name + "\"?"
		}
	}
	p.add(key.Line, "unknown key %.60q in %s%s (known: %s)", key.Value, what, text, strings.Join(names, ", "))
}

// near reports whether one of them is a misspelt other.
func near(a, b string) bool {
	plain := func(s string) string {
		s = strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
		return strings.TrimSuffix(s, "s")
	}
	a, b = plain(a), plain(b)
	if a == b || len(a) < 3 || len(b) < 3 {
		return a == b
	}
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 2 && len(b) <= 2
}
