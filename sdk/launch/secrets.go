package launch

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// short is the length below which a variable's value is not taken for a secret
// unless the plugin says so: on, 1 and UTC are everywhere in a log.
const short = 6

// hideEnv hides the values of the variables that only this plugin may see, until
// it has described itself, and the passwords in all others: of a proxy, say.
func (l *log) hideEnv(usual, given []string) {
	for _, v := range usual {
		_, value, _ := strings.Cut(v, "=")
		l.hidePassword(value)
	}
	for _, v := range given {
		if _, value, _ := strings.Cut(v, "="); len(value) >= short {
			l.hide(value)
		}
	}
}

// settle hides the value of every variable that gives a secret setting, and
// shows those of the variables that give another, and of those that the plugin
// names and that are not called like a secret. What a plugin reads without saying
// so stays hidden.
func (l *log) settle(usual, given []string, d *sdk.Description) {
	for _, v := range given {
		if name, value, _ := strings.Cut(v, "="); slices.Contains(d.Env, name) && !secretName.MatchString(name) {
			l.reveal(value)
			defer l.hidePassword(value)
		}
	}
	for _, s := range d.Settings {
		for _, v := range slices.Concat(usual, given) {
			name, value, _ := strings.Cut(v, "=")
			switch {
			case s.Env == "" || name != s.Env:
			case s.Secret:
				defer l.hide(value) // last, in case that another has the same value
			default:
				l.reveal(value)
				defer l.hidePassword(value)
			}
		}
	}
}

// secretName is what variables with secrets are called. One that holds the name
// of a file is not among them.
var secretName = regexp.MustCompile(`(?i)(KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?|SAS|CONNECTION_STRING|AUTH\w*)(_?ID)?\d*$`)

// hideSettings hides what is secret among the settings of an instance, and a
// location's password.
func (l *log) hideSettings(described []sdk.Setting, settings map[string]any) {
	for _, s := range described {
		switch v := settings[s.Name].(type) {
		case string:
			if s.Secret {
				l.hide(v)
			}
		case nil:
		default:
			if s.Secret {
				l.hideTexts(v)
			}
		}
	}
	for _, v := range settings {
		if text, ok := v.(string); ok {
			l.hidePassword(text)
		}
	}
}

// hideTexts hides the texts in a setting that has secrets somewhere inside: all
// but the short ones, for most of it is no secret.
func (l *log) hideTexts(v any) {
	switch v := v.(type) {
	case string:
		if len(v) >= short {
			l.hide(v)
		}
	case map[string]any:
		for _, e := range v {
			l.hideTexts(e)
		}
	case []any:
		for _, e := range v {
			l.hideTexts(e)
		}
	case bool, float64, nil, sdk.Secret: // which is hidden when it is revealed
	default: // of a type of the caller's
		var plain any
		if data, err := json.Marshal(v); err == nil && json.Unmarshal(data, &plain) == nil {
			l.hideTexts(plain)
		}
	}
}

// authority is that of a URI, with somebody's password.
var authority = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@:]*:([^/?#]*)@`)

// hidePassword makes a secret of the password in a URI, if there is one, as it
// stands and as it is meant.
func (l *log) hidePassword(uri string) {
	m := authority.FindStringSubmatch(uri)
	if m == nil {
		return
	}
	l.hide(m[1])
	if password, err := url.PathUnescape(m[1]); err == nil {
		l.hide(password)
	}
	if u, err := url.Parse(uri); err == nil {
		_, escaped, _ := strings.Cut(u.User.String(), ":")
		l.hide(escaped)
	}
}
