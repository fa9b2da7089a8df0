package query

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A token is a word, a quoted string, an <iri> or one character of punctuation.
type token struct {
	kind byte // 'w', 's', 'i', the character itself, or 0 at the end
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case 0:
		return "the end"
	case 's':
		return strconv.Quote(short(t.text))
	}
	return strconv.Quote(short(t.text))
}

func short(text string) string {
	if len(text) > 40 {
		return strings.ToValidUTF8(text[:40], "") + "..."
	}
	return text
}

// lex takes text apart.
func lex(text string) (tokens []token, err error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrQuery)
	}
	line := 1
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r' || strings.HasPrefix(text[i:], "\ufeff"):
			_, n := utf8.DecodeRuneInString(text[i:])
			i += n
		case c == '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end
		case c == '"':
			value, n, err := quoted(text[i:], line)
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, token{'s', value, line})
			i += n
		case c == '<':
			end := strings.IndexAny(text[i:], ">\n")
			if end < 2 || text[i+end] != '>' {
				return nil, fmt.Errorf("%w: line %d: < without its >", ErrQuery, line)
			}
			tokens = append(tokens, token{'i', text[i+1 : i+end], line})
			i += end + 1
		default:
			n := word(text[i:])
			if n == 0 {
				_, n = utf8.DecodeRuneInString(text[i:])
				tokens = append(tokens, token{c, text[i : i+n], line})
			} else {
				tokens = append(tokens, token{'w', text[i : i+n], line})
			}
			i += n
		}
	}
	return append(tokens, token{0, "", line}), nil
}

// word returns the length of the word that text begins with.
func word(text string) int {
	for i, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.-~", r) {
			return i
		}
	}
	return len(text)
}

// quoted returns the value of the string that text begins with, and its length in text.
func quoted(text string, line int) (value string, n int, err error) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			return "", 0, fmt.Errorf("%w: line %d: a string without its end", ErrQuery, line)
		case '"':
			value, err = strconv.Unquote(text[:i+1])
			if err != nil {
				return "", 0, fmt.Errorf("%w: line %d: %s is no string", ErrQuery, line, short(text[:i+1]))
			}
			return value, i + 1, nil
		}
	}
	return "", 0, fmt.Errorf("%w: line %d: a string without its end", ErrQuery, line)
}
