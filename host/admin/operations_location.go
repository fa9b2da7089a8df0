package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/sdk"
)

// A LocationRequest names a location, and credentials that its URI does not hold.
type LocationRequest struct {
	URI          string
	AccessKey    sdk.Secret
	SecretKey    sdk.Secret
	SessionToken sdk.Secret
	Anonymous    bool
	Settings     func() (map[string]any, error) // more of the plugin's, which may be secret; nil: none
}

// What is said of a location that is missing, in Dgraph's words.
var (
	errNoDestination = errors.New("you must specify a 'destination' value")
	errNoLocation    = errors.New("you must specify a 'location' value")
)

// open opens a location for one operation.
func (o *Operations) open(ctx context.Context, at LocationRequest) (loc host.Location, closeLocation func(), err error) {
	if at.URI == "" {
		return loc, nil, errNoLocation
	}
	settings, err := o.settings(ctx, at)
	if err != nil {
		return loc, nil, err
	}
	opened, err := o.Plugins.OpenDestination(ctx, at.URI, settings)
	if err != nil {
		return loc, nil, err
	}
	return host.Location{URI: opened.URI, Destination: opened.Destination}, func() {
		if err := opened.Close(); err != nil {
			o.log().Warn("the plugin did not let go of a location", "location", opened.URI, "error", err)
		}
	}, nil
}

// settings are what the plugin gets beside the URI. Credentials that the plugin has no use
// for are left out, as Dgraph does for a directory.
func (o *Operations) settings(ctx context.Context, at LocationRequest) (map[string]any, error) {
	s := at.credentials()
	if len(s) > 0 {
		r, err := o.Plugins.Resolve(ctx, at.URI, nil)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(s, func(name string, _ any) bool {
			known := slices.ContainsFunc(r.Plugin.Description.Settings, func(k sdk.Setting) bool { return k.Name == name })
			if !known {
				o.log().Warn("a credential of the request is of no use there", "setting", name, "location", r.URI)
			}
			return !known
		})
	}
	if at.Settings == nil {
		return s, nil
	}
	more, err := at.Settings()
	for name, value := range more {
		if _, given := s[name]; !given {
			s[name] = value
		}
	}
	return s, err
}

// credentials are those that were given. That a location is not anonymous is nothing to
// tell: Dgraph's clients say so of every one.
func (l *LocationRequest) credentials() map[string]any {
	s := map[string]any{}
	for name, value := range map[string]sdk.Secret{"accessKey": l.AccessKey, "secretKey": l.SecretKey, "sessionToken": l.SessionToken} {
		if !value.IsZero() {
			s[name] = value
		}
	}
	if l.Anonymous {
		s["anonymous"] = true
	}
	return s
}

// name is how logs and metrics call a location: without user, password and settings.
func (o *Operations) name(ctx context.Context, at LocationRequest) string {
	if at.URI == "" || o.Plugins == nil {
		return unknownLocation
	}
	r, err := o.Plugins.Resolve(ctx, at.URI, nil)
	if err != nil {
		return unknownLocation
	}
	return r.URI
}

// unknownLocation stands for a location that nobody serves, or that is none.
const unknownLocation = "unknown"

// conceal makes sure that an error does not show the credentials of the request, whoever
// may have put them there.
func (l *LocationRequest) conceal(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range []sdk.Secret{l.SecretKey, l.SessionToken, l.AccessKey} {
		if v := s.RevealString(); len(v) >= shortest {
			text = strings.ReplaceAll(text, v, s.String())
		}
	}
	if text == err.Error() {
		return err
	}
	return &concealedError{text, err}
}

// shortest is the length from which on a credential is looked for in texts: a shorter one
// would be found in every word.
const shortest = 4

// A concealedError is another error with another text.
type concealedError struct {
	text string
	err  error
}

func (c *concealedError) Error() string { return c.text }
func (c *concealedError) Unwrap() error { return c.err }
