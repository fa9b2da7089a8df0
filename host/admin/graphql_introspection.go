package admin

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	gqlerrors "github.com/graph-gophers/graphql-go/errors"
)

// Some clients ask for what introspection has had since 2021, and graphql-go has not: then the
// whole answer would be an error. These fields are asked for in its words instead. There
// is no description of the schema, no directive that may be repeated, and no input of which one
// field must be given.
var laterFields = map[string]struct{ field, instead string }{
	`Cannot query field "description" on type "__Schema".`:    {"description", "description:subscriptionType{name}"}, // null
	`Cannot query field "isRepeatable" on type "__Directive"`: {"isRepeatable", "isRepeatable:name"},                 // see notRepeatable
	`Cannot query field "isOneOf" on type "__Type".`:          {"isOneOf", "isOneOf:specifiedByURL"},                 // null
}

// older returns a query that asks for such fields in other words, or nothing if it asks for none.
func older(query string, errs []*gqlerrors.QueryError) string {
	type place struct{ line, column int }
	fields := map[place]struct{ field, instead string }{}
	var places []place
	for _, e := range errs {
		for start, f := range laterFields {
			if len(e.Locations) == 1 && strings.HasPrefix(e.Message, start) {
				p := place{e.Locations[0].Line, e.Locations[0].Column}
				fields[p] = f
				places = append(places, p)
			}
		}
	}
	if len(places) == 0 {
		return ""
	}
	lines := strings.Split(query, "\n")
	slices.SortFunc(places, func(a, b place) int { // from the last, so that those before stay where they are
		return cmp.Or(b.line-a.line, b.column-a.column)
	})
	for _, p := range slices.Compact(places) {
		f := fields[p]
		if p.line > len(lines) {
			return ""
		}
		line := []rune(lines[p.line-1])
		before := min(p.column-1, len(line))
		after, ok := strings.CutPrefix(string(line[before:]), f.field)
		if !ok { // it has an alias
			return ""
		}
		lines[p.line-1] = string(line[:before]) + f.instead + after
	}
	return strings.Join(lines, "\n")
}

// repeatable is the answer to isRepeatable, in which a directive's name stands for false. In a
// text its quotation marks would be escaped.
var repeatable = regexp.MustCompile(`"isRepeatable":"[_A-Za-z0-9]+"`)

func notRepeatable(data []byte) []byte {
	return repeatable.ReplaceAll(data, []byte(`"isRepeatable":false`))
}
