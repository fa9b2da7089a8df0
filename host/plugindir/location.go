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
	settings, err := parseSettings(scheme, u.RawQuery)
	if err != nil {
		return location{}, err
	}
	if u.Fragment != "" {
		return location{}, invalid("write %23 for a # that is part of the path", "the %s location has a part behind a #", scheme)
	}
	l := location{scheme: strings.ToLower(u.Scheme), settings: settings}
	u.Scheme, u.RawQuery, u.ForceQuery = l.scheme, "", false
	l.uri = u.String()
	u.User = nil
	l.public = u.String()
	return l, nil
}

// parseSettings takes a query apart. As in every URI, + and %20 are a space, and
// %2B is a +. Two things that other programs get wrong have one meaning here: keys
// and tokens have no spaces, so that a + in one is itself; and a semicolon is no
// separator. No error shows a value.
func parseSettings(scheme, query string) (map[string]string, error) {
	settings := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err == nil && spaceless.MatchString(name) {
			value = strings.ReplaceAll(value, "+", "%2B")
		}
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, invalid("write special characters in a setting as %XX: % is %25, & is %26, # is %23", "the settings of the %s location are not valid", scheme)
		}
		if _, twice := settings[name]; twice || name == "uri" {
			return nil, invalid("", "the %s location gives the setting %q twice", scheme, name)
		}
		settings[name] = value
	}
	return settings, nil
}

// spaceless are the settings whose values have no spaces.
var spaceless = regexp.MustCompile(`(?i)key|secret|token|sas|signature|connection`)

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
