package plugindir

import (
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// A location is a user's URI, taken apart.
type location struct {
	scheme   string            // lower case; "" for a plain path
	uri      string            // without its query
	settings map[string]string // its query
	public   string            // uri without user and password, for messages
}

// A scheme has two letters or more, so that a drive letter is none.
var hasScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:/`)

// parseLocation takes a URI or a plain path apart. A path is taken as it is,
// whatever characters it has, and made absolute, for a plugin has its own
// working directory. No error shows the URI, which may hold a secret.
func parseLocation(s string) (location, error) {
	if s == "" {
		return location{}, invalid("", "the location is empty")
	}
	if !hasScheme.MatchString(s) {
		abs, err := filepath.Abs(s)
		return location{uri: abs, public: abs}, err
	}
	scheme, _, _ := strings.Cut(s, ":")
	u, err := url.Parse(s)
	if err != nil {
		return location{}, invalid("write special characters in user, password and path as %XX", "the %s location is not a valid URI", scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return location{}, invalid("write special characters in a setting as %XX", "the settings of the %s location are not valid", scheme)
	}
	if u.Fragment != "" {
		return location{}, invalid("write %23 for a # that is part of the path", "the %s location has a part behind a #", scheme)
	}
	l := location{scheme: strings.ToLower(u.Scheme), settings: map[string]string{}}
	for name, values := range query {
		if name == "uri" || len(values) > 1 {
			return location{}, invalid("", "the %s location gives the setting %q twice", scheme, name)
		}
		l.settings[name] = values[0]
	}
	u.Scheme, u.RawQuery, u.ForceQuery = l.scheme, "", false
	l.uri = u.String()
	u.User = nil
	l.public = u.String()
	return l, nil
}

// A misuse is an error that another command line would cure.
type misuse struct{ text, hint string }

func (e *misuse) Error() string { return e.text }

// Hint says what to do about it, or is empty.
func (e *misuse) Hint() string { return e.hint }

// Is makes a misuse an [fs.ErrInvalid].
func (e *misuse) Is(target error) bool { return target == fs.ErrInvalid }

func invalid(hint, format string, args ...any) error {
	return &misuse{fmt.Sprintf(format, args...), hint}
}
