package dgraph

import (
	"strings"
	"unicode/utf8"
)

// A schemaLexer cuts schema text into words, names in < >, strings in quotes and single
// signs. Comments run from # to the end of the line.
type schemaLexer struct {
	text string
	pos  int
	line int
}

// A schemaToken is one piece. Its kind is a sign itself, or one of the others.
type schemaToken struct {
	kind rune   // 0 at the end
	text string // without < > and quotes
	line int
}

// Kinds of tokens that are no signs.
const (
	wordToken   = 'w'
	iriToken    = '<'
	stringToken = '"'
	brokenToken = '?' // a < or a quote that is not closed on its line
)

func (l *schemaLexer) next() schemaToken {
	l.skip()
	if l.pos == len(l.text) {
		return schemaToken{line: l.line}
	}
	rest := l.text[l.pos:]
	switch c := rest[0]; {
	case c == '<' || c == '"':
		end := map[byte]byte{'<': '>', '"': '"'}[c]
		n := strings.IndexAny(rest[1:], string(end)+"\n")
		if n < 0 || rest[1+n] == '\n' {
			if n < 0 {
				n = len(rest) - 1
			}
			l.pos += 1 + n
			return schemaToken{brokenToken, rest[:1+n], l.line}
		}
		l.pos += n + 2
		return schemaToken{rune(c), rest[1 : 1+n], l.line}
	case isWordByte(c):
		n := 1
		for n < len(rest) && isWordByte(rest[n]) {
			n++
		}
		// A dot at the end of a word ends the line of the predicate.
		word := strings.TrimRight(rest[:n], ".")
		if word == "" {
			word = "."
		}
		l.pos += len(word)
		if word == "." {
			return schemaToken{'.', word, l.line}
		}
		return schemaToken{wordToken, word, l.line}
	}
	r, n := utf8.DecodeRuneInString(rest)
	l.pos += n
	return schemaToken{r, rest[:n], l.line}
}

// skip passes over blanks and comments.
func (l *schemaLexer) skip() {
	for l.pos < len(l.text) {
		switch l.text[l.pos] {
		case '\n':
			l.line++
		case ' ', '\t', '\r':
		case '#':
			n := strings.IndexByte(l.text[l.pos:], '\n')
			if n < 0 {
				l.pos = len(l.text)
				return
			}
			l.pos += n
			continue
		default:
			return
		}
		l.pos++
	}
}

// isWordByte reports whether c can be in a word: also what no name may hold without
// < >, so that an error shows all of it.
func isWordByte(c byte) bool {
	return c >= utf8.RuneSelf || c == '_' || c == '.' || c == '-' || c == '/' || c == '~' ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isPlainName reports whether a name needs no < >.
func isPlainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c == '~' || i == 0 && (c == '.' || c == '-' || c == '/' || c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}
