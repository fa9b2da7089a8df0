package launch

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A redactor replaces values that must not be shown.
type redactor struct {
	values   []string   // for good
	recent   [][]string // of the last keys, the oldest first
	longest  int
	replacer *strings.Replacer // nil: to be made
}

// recentLimit is how many keys are remembered. There is one per backup.
const recentLimit = 64

// add adds a value for good.
func (r *redactor) add(value string) {
	for _, f := range forms(value) {
		if !slices.Contains(r.values, f) {
			r.values = append(r.values, f)
			r.replacer = nil
		}
	}
}

// addKey adds a key, until there were many others.
func (r *redactor) addKey(key []byte) {
	if len(key) < encodedFrom { // shorter ones are found by chance
		return
	}
	f := append(forms(string(key)), strings.Trim(fmt.Sprintf("%d", key), "[]"))
	if slices.ContainsFunc(r.recent, func(known []string) bool { return slices.Equal(known, f) }) {
		return
	}
	if r.recent = append(r.recent, f); len(r.recent) > recentLimit {
		r.recent = r.recent[1:]
	}
	r.replacer = nil
}

// remove shows a value again.
func (r *redactor) remove(value string) {
	f := forms(value)
	r.values = slices.DeleteFunc(r.values, func(v string) bool { return slices.Contains(f, v) })
	r.replacer = nil
}

// encodedFrom is the length from which a value cannot be found by chance in what
// is written in hexadecimal or in base 64.
const encodedFrom = 8

// lineFrom is the length from which a line of a value counts: a brace is in every
// log.
const lineFrom = 4

// forms returns the ways in which a value is likely to be written, and the lines
// it has, because a log is read by the line.
func forms(value string) []string {
	plain, html, ascii := quoted(value)
	all := []string{value, url.QueryEscape(value), url.PathEscape(value), plain, html, ascii, goQuoted(value)}
	if len(value) >= encodedFrom {
		b := []byte(value)
		all = append(all,
			hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
			base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b))
	}
	if lines := strings.Split(value, "\n"); len(lines) > 1 {
		all = append(all, slices.DeleteFunc(lines, func(l string) bool { return len(strings.TrimSpace(l)) < lineFrom })...)
	}
	for i := range all {
		all[i] = strings.TrimRight(all[i], "\r")
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(f string) bool { return f == "" })
}

// quoted returns value as JSON writes it between quotation marks: as it is, with
// what has a meaning in HTML escaped, and with all that is not ASCII escaped.
func quoted(value string) (plain, html, ascii string) {
	encode := func(escape bool) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escape)
		_ = e.Encode(value) // a string
		return b.String()[1 : b.Len()-2]
	}
	plain, html = encode(false), encode(true)
	var b strings.Builder
	for _, c := range plain {
		if c < 0x80 {
			b.WriteRune(c)
			continue
		}
		for _, u := range utf16.Encode([]rune{c}) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return plain, html, b.String()
}

func goQuoted(value string) string {
	q := strconv.Quote(value)
	return q[1 : len(q)-1]
}

// hide returns text without secrets.
func (r *redactor) hide(text string) string {
	if len(r.values)+len(r.recent) == 0 {
		return text
	}
	if r.replacer == nil {
		r.prepare()
	}
	return r.replacer.Replace(text)
}

// cut returns text without secrets, if its end is missing: that may be the end
// of a secret.
func (r *redactor) cut(text string) string {
	text = r.hide(text)
	return text[:max(0, len(text)-r.longest)]
}

func (r *redactor) prepare() {
	all := slices.Concat(append(slices.Clone(r.recent), r.values)...)
	// The longest first, so that none hides half of another.
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	r.longest = len(all[0])
	var pairs []string
	for _, v := range all {
		pairs = append(pairs, v, "[secret]")
	}
	r.replacer = strings.NewReplacer(pairs...)
}
