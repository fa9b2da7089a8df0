package admin

import (
	"regexp"
	"strings"

	gqlerrors "github.com/graph-gophers/graphql-go/errors"
)

// GraphQL's own errors show what they are about, and that may be a secret: a value of the
// wrong type, or half of a text whose quotation marks were forgotten. Their place says as
// much, and what a field may be. So values are taken out of them.

// scrub returns an error without values of the request.
func scrub(e *gqlerrors.QueryError) *gqlerrors.QueryError {
	if e.ResolverError != nil {
		return e
	}
	s := *e
	s.Err = nil
	switch {
	case strings.HasPrefix(e.Message, "syntax error"):
		s.Message = scrubSyntax(e.Message)
	case e.Rule != "":
		s.Message = scrubValue(e.Message)
	case !harmlessMessage.MatchString(e.Message):
		s.Message = "an argument has a value that is not of its type"
	}
	return &s
}

// harmlessMessage are those without a rule, and without a value.
var harmlessMessage = regexp.MustCompile(`^(no operations? |more than one operation|query length|executable document|` +
	`graphql-ws|Unknown type|context |internal error|the request has|a UInt64 |` + `.*selections)`)

// unexpected is what a parser has found instead of something else.
var (
	unexpected  = regexp.MustCompile(`(?s)unexpected "(.*?)"(, expecting .{1,40})?$`)
	punctuation = regexp.MustCompile(`^[^\p{L}\p{N}_"'\\]{0,3}$`)
)

func scrubSyntax(message string) string {
	m := unexpected.FindStringSubmatch(message)
	switch {
	case m == nil && strings.Contains(message, "not terminated"):
		return "syntax error: a text is not terminated"
	case m == nil:
		return "syntax error"
	case punctuation.MatchString(m[1]):
		return "syntax error: unexpected \"" + m[1] + "\"" + m[2]
	}
	return "syntax error: unexpected name or value" + m[2]
}

// values are the forms in which GraphQL's rules show one, and what is left of them.
var values = []struct {
	form *regexp.Regexp
	left string
}{
	{regexp.MustCompile(`(?s)^(.*cannot represent a? ?[a-zA-Z0-9 -]+ value): .*$`), "$1"},
	{regexp.MustCompile(`(?s)^Value ".*" does not exist in ("[A-Za-z]+" enum).*$`), "the value does not exist in $1"},
	{regexp.MustCompile(`(?s)^(Variable "[^"]*" has invalid value) .*Expected type "([^"]*)", found .*$`), "$1: it is no $2"},
	{regexp.MustCompile(`(?s)^(Variable "[^"]*" has invalid type) .*Expected type "([^"]*)", found .*$`), "$1: it is no $2"},
	{regexp.MustCompile(`(?s)^(Expected (?:value of )?type "[^"]*"), found .*$`), "$1, found another"},
}

func scrubValue(message string) string {
	for _, v := range values {
		if v.form.MatchString(message) {
			return v.form.ReplaceAllString(message, v.left)
		}
	}
	if strings.Contains(message, "found ") || strings.Contains(message, "represent") {
		return "a value is not of the type that is expected"
	}
	return message
}
