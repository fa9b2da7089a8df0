package s3store

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/brock-backup/brock/sdk"
)

// Version is that of the plugins, and what the store's log has beside the name.
const Version = "0.1.0"

// Limits are those of both plugins. A part is of that size unless part_size says
// otherwise.
var Limits = sdk.Limits{ConcurrentPuts: ConcurrentPuts, ObjectSize: 5 << 40, PartSize: 16 << 20}

// A client is a bucket, and how to talk to it.
type client struct {
	core       *minio.Core
	bucket     string
	prefix     string // "" or ending in "/"
	place      string // for people, without secrets: "s3://host/bucket/prefix"
	secure     bool
	sse        encrypt.ServerSide     // nil: the bucket's own rule
	put        minio.PutObjectOptions // what every write has in common; see options
	retain     time.Duration          // for which every write is locked, if put has a mode
	partSize   int64                  // bytes
	checksum   string                 // "auto", "crc32c", "sha256" or "off"
	abortAfter time.Duration          // 0: never

	ignored   string // host of the URI that was not taken for an endpoint
	region    string // to sign for; "" is found out
	regionSet bool   // by the user
	keys      *keys
	t         *transport
}

// Open returns the Store at a URI. Nothing is asked of the store yet, but the
// credentials are there, or it is known that there are none.
func Open(ctx context.Context, uri string, cfg Config) (*Store, error) { //nolint:gocritic // settings are a value
	c, err := newClient(ctx, uri, &cfg)
	if err != nil {
		return nil, err
	}
	s := newStore(c)
	s.running.Go(func() {
		<-s.background.Done()
		c.t.close()
	})
	return s, nil
}

func newClient(ctx context.Context, uri string, cfg *Config) (*client, error) {
	l, err := parse(uri)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(l); err != nil {
		return nil, err
	}
	host, err := cfg.endpoint(l)
	if err != nil {
		return nil, err
	}
	c := &client{
		bucket: l.bucket, prefix: l.prefix, place: l.place(host), secure: cfg.Secure, partSize: int64(cfg.PartSize),
		checksum: cfg.Checksum, abortAfter: cfg.AbortAfter, ignored: l.ignored,
		region: cfg.Region, regionSet: cfg.Region != "",
	}
	if !c.regionSet && isGoogle(host) {
		c.region = "auto"
	}
	if c.sse, err = cfg.encryption(); err != nil {
		return nil, err
	}
	mode, retain, err := cfg.lock()
	if err != nil {
		return nil, err
	}
	c.retain = retain
	c.put = minio.PutObjectOptions{StorageClass: cfg.StorageClass, ServerSideEncryption: c.sse, Mode: mode}
	c.put = c.options()
	if err := c.connect(ctx, cfg, l, host); err != nil {
		return nil, err
	}
	c.warn(cfg)
	return c, nil
}

// connect sets up how requests are sent, and finds the credentials.
func (c *client) connect(ctx context.Context, cfg *Config, l location, host string) error {
	roots, err := pool(cfg.CAFile)
	if err != nil {
		return err
	}
	base, near := newHTTP(roots), newNear()
	w := newWeb(cfg, l, host, &http.Client{Transport: base}, &http.Client{Transport: near, CheckRedirect: noRedirect})
	if c.keys, err = newKeys(cfg, l, w); err != nil {
		return err
	}
	if _, err := c.keys.get(ctx); err != nil {
		base.CloseIdleConnections()
		return err
	}
	c.t = &transport{base: base, keys: c.keys, trace: cfg.Trace, place: c.place, host: host, bucket: c.bucket, guess: guessRegion(host)}
	endpoint := host
	if isAccelerate(host) {
		endpoint = amazonHost
	}
	opts := &minio.Options{
		Creds: credentials.New(c.keys), Secure: cfg.Secure, Transport: c.t, MaxRetries: 3,
		Region:             c.region,
		CustomRegionViaURL: noRegion,
	}
	if cfg.PathStyle {
		opts.BucketLookup = minio.BucketLookupPath
	}
	if c.core, err = minio.NewCore(endpoint, opts); err != nil {
		base.CloseIdleConnections()
		return fmt.Errorf("endpoint %s: %s: %w", host, oneLine(err.Error()), sdk.ErrInvalid)
	}
	c.core.SetAppInfo("brock", Version)
	c.core.SetS3EnableDualstack(dualstack(host))
	if cfg.accelerated(host) {
		c.core.SetS3TransferAccelerate(accelerateHost(host))
	}
	return nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// options returns what every write has in common, as it is now: a lock counts
// from the moment of writing.
func (c *client) options() minio.PutObjectOptions {
	opts := c.put
	if opts.Mode != "" {
		opts.RetainUntilDate = time.Now().Add(c.retain)
	}
	return opts
}

// warned are the places that have been warned of: a place may be opened often.
var warned sync.Map

// warn says what is permitted and unwise, once for each place.
func (c *client) warn(cfg *Config) {
	if _, twice := warned.LoadOrStore(c.place, true); twice {
		return
	}
	if !c.secure {
		sdk.Logger().Warn("secure=false: credentials and backups travel in clear text", "place", c.place)
	}
	if c.ignored != "" {
		sdk.Logger().Warn("the host of the URI is no endpoint, for it has no dot and no port: the default endpoint is used",
			"host", c.ignored, "place", c.place)
	}
	switch cfg.StorageClass {
	case "GLACIER", "DEEP_ARCHIVE":
		sdk.Logger().Warn("objects of this storage class cannot be read before they are restored in the store: incremental backups and restores fail",
			"storage_class", cfg.StorageClass)
	}
}

// skew returns how far the store's clock was ahead of this machine's in its last
// answer.
func (c *client) skew() time.Duration {
	if c.t == nil {
		return 0
	}
	return time.Duration(c.t.skew.Load())
}

const (
	skewLimit = 15 * time.Minute // from which S3 refuses requests
	skewOdd   = time.Minute      // from which it is worth a word
)

// facts tell what is known of the store from its answers so far.
func (c *client) facts() []sdk.Finding {
	used := c.keys.use()
	all := []sdk.Finding{{Name: "credentials", Detail: used.from}}
	if !used.until.IsZero() {
		all[0].Detail += ", temporary, until " + used.until.UTC().Format(time.RFC3339)
	}
	if used.anonymous && !used.set && c.keys != nil {
		all[0].Problem = true
		all[0].Hint = "looked at: " + c.keys.looked + "; give credentials, or set anonymous=true for a public bucket"
	}
	if c.t == nil {
		return all
	}
	all = append(all, sdk.Finding{Name: "endpoint", Detail: c.t.host}, c.regionFact(), c.tlsFact())
	if c.t.answered.Load() {
		all = append(all, c.clockFact())
	}
	return all
}

func (c *client) regionFact() sdk.Finding {
	f := sdk.Finding{Name: "region", Detail: "not asked for yet"}
	said, _ := c.t.region.Load().(string)
	switch {
	case c.regionSet:
		f.Detail = c.region + ", as it is set"
	case c.region != "":
		f.Detail = c.region + ", which is every region of Google's"
	case said != "":
		f.Detail = said
		if of := regionOf(c.t.host); of != "" && of != said {
			f.Detail += ", although the endpoint is that of " + of
			f.Hint = fmt.Sprintf("write s3://s3.%s.amazonaws.com/%s/%s", said, c.bucket, c.prefix)
		}
	case c.t.answered.Load():
		f.Detail = c.t.guess + ", assumed"
	}
	return f
}

func (c *client) tlsFact() sdk.Finding {
	if !c.secure {
		return sdk.Finding{
			Name: "tls", Detail: "none: credentials and backups travel in clear text", Problem: !isLocal(hostname(c.t.host)),
			Hint: "leave secure=false out if the server can speak TLS",
		}
	}
	if v := c.t.tls.Load(); v != 0 {
		return sdk.Finding{Name: "tls", Detail: tls.VersionName(uint16(v))}
	}
	return sdk.Finding{Name: "tls", Detail: "required"}
}

func (c *client) clockFact() sdk.Finding {
	skew := c.skew()
	if skew.Abs() < skewOdd {
		return sdk.Finding{Name: "clock", Detail: "as the store's, to the minute"}
	}
	return sdk.Finding{
		Name: "clock", Detail: "this machine's is " + apart(skew) + " the store's", Problem: true,
		Hint: fmt.Sprintf("set this machine's clock: from %v on requests are refused", skewLimit),
	}
}
