// Package argv takes the program's arguments, and with them the secrets that
// locations hold, as in s3://host/bucket?secretKey=... Everybody can list the
// arguments of all processes. So the secrets are written over with x, where the
// system allows it, as the program's first act: this package imports next to
// nothing, so that it is initialised before all that does. Only in the moment
// before that can they be seen.
package argv

import (
	"os"
	"strings"
)

var (
	args   = make([]string, len(os.Args)) // as they were given
	hidden = strings.NewReplacer(take()...)
)

// Args returns the arguments as they were given, the program's name first.
func Args() []string { return append([]string(nil), args...) }

// Hide returns text without the secrets of the arguments. Those that are so short
// that they may be in it by chance are taken out of whole arguments only.
func Hide(text string) string { return hidden.Replace(text) }

// byChance is the length below which a value may be in a text by chance.
const byChance = 8

// take fills args and returns what Hide replaces, and with what, the longer ones
// first: of two that begin in one place, strings.Replacer takes the first.
func take() (pairs []string) {
	var values []string
	for i, arg := range os.Args {
		args[i] = strings.Clone(arg)
		before := ""
		if i > 0 {
			before = os.Args[i-1]
		}
		spans := secrets(arg, isSetting(before))
		if len(spans) == 0 {
			spans = token(arg, before)
		}
		if len(spans) == 0 {
			continue
		}
		pairs = append(pairs, args[i], masked(args[i], spans))
		for _, s := range spans {
			raw := args[i][s.from:s.to]
			for _, v := range []string{raw, unescaped(raw), strings.ReplaceAll(unescaped(raw), "+", " ")} {
				if len(v) >= byChance {
					values = append(values, v, "[secret]")
				}
			}
		}
		overwrite(arg, spans)
		os.Args[i] = args[i]
	}
	return append(pairs, values...)
}

// isSetting reports whether the argument after this one is a setting, NAME=VALUE.
func isSetting(flag string) bool { return flag == "--setting" || flag == "-setting" }

// token returns where the token is in what Dgraph writes as
// --security "whitelist=...; token=...".
func token(arg, before string) []span {
	const flag = "--security"
	at := 0
	switch {
	case strings.HasPrefix(arg, flag+"="):
		at = len(flag) + 1
	case before != flag:
		return nil
	}
	for part := range strings.SplitSeq(arg[at:], ";") {
		if name, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(name), "token") && strings.TrimSpace(value) != "" {
			from := at + len(part) - len(strings.TrimLeft(value, " "))
			return []span{{from, at + len(strings.TrimRight(part, " "))}}
		}
		at += len(part) + 1
	}
	return nil
}

// A span is a part of an argument.
type span struct{ from, to int }

// secrets returns where the secrets of an argument are: the password of a URI,
// and the values of settings that are called like secrets, in a URI's query or
// alone.
func secrets(arg string, setting bool) (spans []span) {
	const flag = "--setting="
	from := 0
	if strings.HasPrefix(arg, flag) {
		setting, from = true, len(flag)
	}
	if name, value, _ := strings.Cut(arg[from:], "="); setting && value != "" && isSecret(name) && !strings.Contains(name, "/") {
		return []span{{len(arg) - len(value), len(arg)}}
	}
	if s, ok := password(arg); ok {
		spans = append(spans, s)
	}
	_, query, _ := strings.Cut(arg, "?")
	at := len(arg) - len(query)
	for part := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(part, "="); value != "" && isSecret(unescaped(name)) {
			spans = append(spans, span{at + len(name) + 1, at + len(part)})
		}
		at += len(part) + 1
	}
	return spans
}

// isSecret reports whether a setting is called like a secret.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"key", "secret", "token", "password", "passwd", "sas", "sig", "credential", "connection"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// password returns where the password of a URI is, also of one that is not quite
// valid.
func password(arg string) (s span, ok bool) {
	at := strings.Index(arg, "://")
	if at < 0 {
		return s, false
	}
	at += len("://")
	rest, _, _ := strings.Cut(arg[at:], "?")
	colon, end := strings.IndexByte(rest, ':'), strings.LastIndexByte(rest, '@')
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		switch host := rest[:slash]; {
		case strings.IndexByte(host, '@') >= 0:
			end = strings.LastIndexByte(host, '@')
		case strings.Trim(host[strings.IndexByte(host, ':')+1:], "0123456789") == "" || colon > slash:
			return s, false // a port, and a path with an @
		}
	}
	if colon < 0 || end < colon+2 {
		return s, false
	}
	return span{at + colon + 1, at + end}, true
}

func masked(arg string, spans []span) string {
	b := []byte(arg)
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			b[i] = 'x'
		}
	}
	return string(b)
}

// unescaped decodes %XX, and leaves alone what is none.
func unescaped(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			high, low := digit(text[i+1]), digit(text[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// digit is the value of a hexadecimal digit, or below 0.
func digit(c byte) int {
	if 'A' <= c && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}
