package launch

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// A redactor replaces values that must not be shown.
type redactor struct {
	values   []string // longest first, so that none hides half of another
	longest  int
	replacer *strings.Replacer
}

// add adds a value, the ways in which it is likely to be quoted, and the lines
// it has, because a log is read by the line.
func (r *redactor) add(value string) {
	forms := []string{value, url.QueryEscape(value), url.PathEscape(value), quoted(value)}
	if lines := strings.Split(value, "\n"); len(lines) > 1 {
		forms = append(forms, lines...)
	}
	for _, f := range forms {
		if f = strings.TrimRight(f, "\r"); f != "" && !slices.Contains(r.values, f) {
			r.values = append(r.values, f)
		}
	}
	slices.SortFunc(r.values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, v := range r.values {
		r.longest = max(r.longest, len(v))
		pairs = append(pairs, v, "[secret]")
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// quoted returns value as JSON and Go write it between quotation marks.
func quoted(value string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // a string
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}

// hide returns text without secrets, and without its last cut bytes.
func (r *redactor) hide(text string, cut int) string {
	if r.replacer == nil {
		return text
	}
	text = r.replacer.Replace(text)
	return text[:max(0, len(text)-cut)]
}
