package s3store

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brock-backup/brock/sdk"
)

// An origin is a kind of place where credentials are looked for. Its name is the
// one in the setting credentials.
type origin string

const (
	fromEnvironment origin = "environment"
	fromFile        origin = "file"
	fromWebIdentity origin = "web-identity"
	fromContainer   origin = "container"
	fromInstance    origin = "instance"
)

var allOrigins = []origin{fromEnvironment, fromFile, fromWebIdentity, fromContainer, fromInstance}

// originsOf reads the setting credentials.
func originsOf(list string) ([]origin, error) {
	if list == "" {
		return nil, nil
	}
	var from []origin
	for name := range strings.SplitSeq(list, ",") {
		o := origin(strings.TrimSpace(name))
		if !slices.Contains(allOrigins, o) {
			return nil, sdk.WithHint(setting("credentials", "%q is unknown", o),
				"name one or more of environment, file, web-identity, container and instance, with commas in between")
		}
		from = append(from, o)
	}
	return from, nil
}

// A credential is what requests are signed with, and where it comes from.
type credential struct {
	id, secret, token sdk.Secret
	from              string    // for people: "environment variable AWS_ACCESS_KEY_ID"
	until             time.Time // when it expires; zero: unknown, or never
	files             []stamp   // that it was read from
}

func (c *credential) same(o *credential) bool {
	return c.id.RevealString() == o.id.RevealString() && c.secret.RevealString() == o.secret.RevealString() &&
		c.token.RevealString() == o.token.RevealString()
}

// value is what minio-go signs with.
func (c *credential) value() credentials.Value {
	if c.id.IsZero() {
		return credentials.Value{SignerType: credentials.SignatureAnonymous}
	}
	return credentials.Value{
		AccessKeyID: c.id.RevealString(), SecretAccessKey: c.secret.RevealString(), SessionToken: c.token.RevealString(),
		SignerType: credentials.SignatureV4,
	}
}

// keys find credentials, and find them again: when they are about to expire,
// when their file has changed, and when the store does not take them any more.
// They are safe for concurrent use. What they ask of the network ends within
// seconds.
type keys struct {
	finders []finder
	looked  string // where, for people

	mu      sync.Mutex
	now     *credential // nil before the first look
	home    *finder     // that found it
	given   bool        // to minio-go, which keeps a copy
	changed time.Time   // when the latest look found other ones than that before
	stat    time.Time   // when the files were looked at
	stale   bool        // one of them has changed
	again   time.Time   // when to look again although nothing has expired; zero: never
	forced  time.Time   // when the store's refusal last was a reason to look
}

// A finder looks in one place. It returns nil if there is nothing there, and an
// error if there is something that cannot be used.
type finder func(context.Context) (*credential, error)

const (
	statEvery   = time.Second      // how often a file is looked at
	refuseEvery = 10 * time.Second // how often a refusal is a reason to look
	retryEvery  = 15 * time.Second // how often a renewal that has failed is tried
	earliest    = 5 * time.Minute  // before its end a credential is renewed
	lookTime    = 15 * time.Second // that a look may take
)

// get returns the credential to sign with now.
func (k *keys) get(ctx context.Context) (*credential, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due(time.Now()) {
		if err := k.look(ctx); err != nil {
			return nil, err
		}
	}
	return k.now, nil
}

// due reports whether it is time to look.
func (k *keys) due(now time.Time) bool {
	if k.now == nil || k.stale || !k.again.IsZero() && now.After(k.again) {
		return true
	}
	if len(k.now.files) > 0 && now.Sub(k.stat) >= statEvery {
		k.stat = now
		k.stale = slices.ContainsFunc(k.now.files, stamp.changed)
	}
	return k.stale
}

// look finds credentials, in the first place that has any. If it fails, those at
// hand are kept until they expire.
func (k *keys) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := k.find(ctx)
	now := time.Now()
	k.stat = now
	if err != nil {
		if k.now == nil || !k.now.until.IsZero() && now.After(k.now.until) {
			return err
		}
		kept := *k.now
		kept.files = slices.Clone(kept.files)
		for i := range kept.files {
			kept.files[i] = stampOf(kept.files[i].path)
		}
		k.now, k.stale = &kept, false
		sdk.Logger().Warn("credentials could not be read anew, those at hand are used", "credentials", k.now.from, "error", err)
		k.again = now.Add(retryEvery)
		return nil
	}
	if k.now != nil && !k.now.same(found) {
		k.changed = now
		sdk.Logger().Info("there are new credentials", "credentials", found.from)
	}
	k.now, k.given, k.stale, k.again = found, false, false, time.Time{}
	if !found.until.IsZero() {
		k.again = found.until.Add(-min(earliest, found.until.Sub(now)/5))
	}
	return nil
}

// find asks one place after the other. Where there were credentials before they
// are expected again, and nowhere else: a file that is being replaced is no reason
// to become somebody else.
func (k *keys) find(ctx context.Context) (*credential, error) {
	if k.home != nil {
		c, err := (*k.home)(ctx)
		if c == nil && err == nil {
			err = fmt.Errorf("credentials: %s: there are none any more: %w", k.now.from, sdk.ErrPermission)
		}
		return c, err
	}
	for i := range k.finders {
		c, err := k.finders[i](ctx)
		if c != nil && !c.id.IsZero() {
			k.home = &k.finders[i]
		}
		if c != nil || err != nil {
			return c, err
		}
	}
	return &credential{from: "none were found: requests are anonymous"}, nil
}

// refused says that the store did not take a request's credentials. It reports
// whether there are other ones by now: then the request is worth another try.
func (k *keys) refused(ctx context.Context, sent time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changed.After(sent) {
		return true
	}
	if now := time.Now(); now.Sub(k.forced) >= refuseEvery {
		k.forced = now
		return k.look(ctx) == nil && k.changed.After(sent)
	}
	return false
}

// A use is which credentials requests are signed with, for people.
type use struct {
	from      string
	anonymous bool // none
	set       bool // and that is as it is set
	until     time.Time
}

func (k *keys) use() use {
	if k == nil {
		return use{from: "the client"}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil {
		return use{from: "nowhere yet"}
	}
	return use{from: k.now.from, anonymous: k.now.id.IsZero(), set: k.now.id.IsZero() && k.looked == "", until: k.now.until}
}

// minio-go asks through these.
var _ credentials.Provider = (*keys)(nil)

// IsExpired reports whether what minio-go has is out of date.
func (k *keys) IsExpired() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.given || k.due(time.Now())
}

// RetrieveWithCredContext returns the credential to sign with now.
func (k *keys) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	ctx := context.Background()
	if cc != nil && cc.Context != nil {
		ctx = cc.Context
	}
	c, err := k.get(ctx)
	if err != nil {
		return credentials.Value{}, &noCredentials{err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.given = k.now == c
	return c.value(), nil
}

// Retrieve is for callers that have no context.
func (k *keys) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

// noCredentials is the error of a request that could not be signed.
type noCredentials struct{ error }

func (e *noCredentials) Unwrap() error { return e.error }

// newKeys returns what finds the credentials for a location. It looks nowhere
// yet.
func newKeys(cfg *Config, l location, w *web) (*keys, error) {
	if cfg.Anonymous {
		return fixed(&credential{from: "none, as it is set: anonymous"}), nil
	}
	if !cfg.AccessKey.IsZero() {
		return fixed(&credential{id: cfg.AccessKey, secret: cfg.SecretKey, token: cfg.SessionToken, from: "settings accessKey and secretKey"}), nil
	}
	from, err := originsOf(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	asked := from != nil
	switch {
	case !asked && cfg.Profile != "":
		from, asked = []origin{fromFile}, true
	case !asked:
		from = schemes[l.scheme].origins
	}
	k := &keys{}
	var names []string
	for _, o := range from {
		var f finder
		switch o {
		case fromEnvironment:
			f = environment(schemes[l.scheme].pairs)
		case fromFile:
			f = profile(cfg.Profile, asked)
		case fromWebIdentity:
			f = w.identity
		case fromContainer:
			f = w.container
		case fromInstance:
			f = func(ctx context.Context) (*credential, error) { return w.instance(ctx, asked) }
		}
		k.finders = append(k.finders, f)
		name := string(o)
		if o == fromEnvironment {
			name += " (" + strings.Join(ids(schemes[l.scheme].pairs), ", ") + ")"
		}
		names = append(names, name)
	}
	k.looked = strings.Join(names, ", ")
	return k, nil
}

// fixed are keys that stay as they are.
func fixed(c *credential) *keys {
	return &keys{finders: []finder{func(context.Context) (*credential, error) { return c, nil }}}
}

// A pair names environment variables that hold keys. Of several names for one
// thing the first that is set counts.
type pair struct {
	id, secret []string
	token      string // "": there is none
}

// ids returns the first name of each access key.
func ids(pairs []pair) []string {
	var names []string
	for _, p := range pairs {
		names = append(names, p.id[0])
	}
	return names
}

// environment finds keys in variables.
func environment(pairs []pair) finder {
	return func(context.Context) (*credential, error) {
		for _, p := range pairs {
			idName, id := variable(p.id)
			secretName, secret := variable(p.secret)
			switch {
			case id.IsZero() && secret.IsZero():
				continue
			case id.IsZero():
				return nil, half(secretName, p.id[0])
			case secret.IsZero():
				return nil, half(idName, p.secret[0])
			}
			c := &credential{id: id, secret: secret, from: "environment variable " + idName}
			if p.token != "" {
				c.token = sdk.NewSecret(os.Getenv(p.token))
			}
			return c, nil
		}
		return nil, nil
	}
}

func variable(names []string) (string, sdk.Secret) {
	for _, n := range names {
		if v := sdk.NewSecret(os.Getenv(n)); !v.IsZero() {
			return n, v
		}
	}
	return "", sdk.Secret{}
}

func half(there, missing string) error {
	return sdk.WithHint(
		fmt.Errorf("credentials: environment variable %s is set, and %s is not: %w", there, missing, sdk.ErrInvalid),
		"set both or none")
}

// Env returns the names of the environment variables that are read for the given
// schemes, in order.
func Env(names ...string) []string {
	all := []string{
		"AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_ENDPOINT_URL_STS",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	}
	for _, n := range names {
		for _, p := range schemes[n].pairs {
			all = append(all, p.id...)
			all = append(all, p.secret...)
			if p.token != "" {
				all = append(all, p.token)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
