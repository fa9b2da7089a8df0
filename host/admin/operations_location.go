package admin

import (
	"context"
	"errors"
	"maps"
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

// errNoDestination is said in Dgraph's words.
var errNoDestination = errors.New("you must specify a 'destination' value")

// open opens a location for one operation.
func (o *Operations) open(ctx context.Context, at LocationRequest) (loc host.Location, closeLocation func(), err error) {
	if at.URI == "" {
		return loc, nil, errNoDestination
	}
	settings, err := at.settings()
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

// settings are what the plugin gets beside the URI. That a location is not anonymous is
// nothing to tell: Dgraph's clients say so of every one.
func (l *LocationRequest) settings() (map[string]any, error) {
	s := map[string]any{}
	if l.Settings != nil {
		more, err := l.Settings()
		if err != nil {
			return nil, err
		}
		maps.Copy(s, more)
	}
	for name, value := range map[string]sdk.Secret{"accessKey": l.AccessKey, "secretKey": l.SecretKey, "sessionToken": l.SessionToken} {
		if !value.IsZero() {
			s[name] = value
		}
	}
	if l.Anonymous {
		s["anonymous"] = true
	}
	return s, nil
}

// name is how logs and metrics call a location: without user, password and settings.
func (o *Operations) name(ctx context.Context, at LocationRequest) string {
	if at.URI == "" || o.Plugins == nil {
		return "unknown"
	}
	r, err := o.Plugins.Resolve(ctx, at.URI, nil)
	if err != nil {
		return "unknown"
	}
	return r.URI
}

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
