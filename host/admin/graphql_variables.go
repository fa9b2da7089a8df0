package admin

import (
	"context"
	"fmt"
	"math"

	gqlerrors "github.com/graph-gophers/graphql-go/errors"
	"github.com/graph-gophers/graphql-go/introspection"
)

// A variablesCheck ends a request with a variable that is not of its type before anything of it
// is executed. Without it the fields before the one that has the variable would be.
type variablesCheck struct{}

// TraceQuery implements tracer.Tracer. Under a context that has ended no resolver is called.
func (variablesCheck) TraceQuery(ctx context.Context, _, _ string, variables map[string]any, types map[string]*introspection.Type) (context.Context, func([]*gqlerrors.QueryError)) {
	finish := func([]*gqlerrors.QueryError) {}
	for name, v := range variables {
		t := types[name]
		if t == nil {
			continue // nobody asked for it
		}
		if at, want := misfit(t, v, name); want != "" {
			callOf(ctx).refused = &gqlerrors.QueryError{Message: fmt.Sprintf("Variable %q has invalid value at %s: it is no %s", name, at, want)}
			ended, cancel := context.WithCancel(ctx)
			cancel()
			return ended, finish
		}
	}
	return ctx, finish
}

// TraceField implements tracer.Tracer.
func (variablesCheck) TraceField(ctx context.Context, _, _, _ string, _ bool, _ map[string]any) (context.Context, func(*gqlerrors.QueryError)) {
	return ctx, func(*gqlerrors.QueryError) {}
}

// misfit returns which part of v is not of the type t that it should be, or nothing. What is
// missing and what is unknown GraphQL's rules have found.
func misfit(t *introspection.Type, v any, path string) (at, want string) {
	if t.Kind() == "NON_NULL" {
		t = t.OfType()
	}
	if v == nil {
		return "", ""
	}
	switch t.Kind() {
	case "LIST":
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for i, e := range list {
			if at, want = misfit(t.OfType(), e, fmt.Sprintf("%s[%d]", path, i)); want != "" {
				return at, want
			}
		}
		return "", ""
	case "INPUT_OBJECT":
		object, ok := v.(map[string]any)
		if !ok {
			return path, *t.Name()
		}
		for _, f := range *t.InputFields(&struct{ IncludeDeprecated bool }{true}) {
			if at, want = misfit(f.Type(), object[f.Name()], path+"."+f.Name()); want != "" {
				return at, want
			}
		}
		return "", ""
	}
	if name := *t.Name(); !isScalar(name, v) {
		return path, name
	}
	return "", ""
}

// isScalar reports whether v, from JSON or from a default, is a value of a scalar.
func isScalar(name string, v any) bool {
	n, number := v.(float64)
	switch name {
	case "String":
		_, ok := v.(string)
		return ok
	case "Boolean":
		_, ok := v.(bool)
		return ok
	case "Int":
		_, ok := v.(int32)
		return ok || number && n == math.Trunc(n) && n >= math.MinInt32 && n <= math.MaxInt32
	case "UInt64":
		return new(UInt64).UnmarshalGraphQL(v) == nil
	}
	return true // an enum, which GraphQL's rules have seen
}
