package main

import (
	"strings"
	"unicode"
)

// harmless is text of a plugin's without what a terminal would obey: control
// characters, but for the end of a line, and those that change the direction of
// what follows.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
