package s3store

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// defaults are the settings of a user who gives none.
func defaults(change ...func(*Config)) Config {
	cfg := Config{Secure: true, PartSize: 16 << 20, Checksum: "auto", AbortAfter: 24 * time.Hour}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// bare empties the environment of everything that a client reads.
func bare(t *testing.T) {
	t.Helper()
	if cache, err := os.UserCacheDir(); err == nil {
		t.Setenv("XDG_CACHE_HOME", cache) // where the servers' tools are
	}
	for _, name := range Env("s3", "gs", "minio") {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestLocations(t *testing.T) {
	bare(t)
	for uri, want := range map[string]struct{ endpoint, bucket, prefix, place string }{
		"s3:///bucket":       {"s3.amazonaws.com", "bucket", "", "s3://s3.amazonaws.com/bucket"},
		"s3:///bucket/a//b/": {"s3.amazonaws.com", "bucket", "a/b/", "s3://s3.amazonaws.com/bucket/a/b"},
		"s3://s3.us-west-2.amazonaws.com/bucket/prefix":          {"s3.us-west-2.amazonaws.com", "bucket", "prefix/", "s3://s3.us-west-2.amazonaws.com/bucket/prefix"},
		"s3://nodot/bucket":                                      {"s3.amazonaws.com", "bucket", "", "s3://s3.amazonaws.com/bucket"},
		"s3://localhost/bucket":                                  {"localhost", "bucket", "", "s3://localhost/bucket"},
		"s3://localhost:9000/bucket/p":                           {"localhost:9000", "bucket", "p/", "s3://localhost:9000/bucket/p"},
		"s3://nodot:9000/bucket":                                 {"nodot:9000", "bucket", "", "s3://nodot:9000/bucket"},
		"s3://[::1]:9000/bucket":                                 {"[::1]:9000", "bucket", "", "s3://[::1]:9000/bucket"},
		"s3://[::1]/bucket":                                      {"[::1]", "bucket", "", "s3://[::1]/bucket"},
		"S3://127.0.0.1/bucket":                                  {"127.0.0.1", "bucket", "", "s3://127.0.0.1/bucket"},
		"s3://s3-accelerate.amazonaws.com/bucket":                {"s3.amazonaws.com", "bucket", "", "s3://s3-accelerate.amazonaws.com/bucket"},
		"minio://127.0.0.1:9000/bucket/a%20b%3Fc":                {"127.0.0.1:9000", "bucket", "a b?c/", "minio://127.0.0.1:9000/bucket/a b?c"},
		"minio://box/bucket":                                     {"box", "bucket", "", "minio://box/bucket"},
		"gs:///bucket/p":                                         {"storage.googleapis.com", "bucket", "p/", "gs://bucket/p"},
		"gs://bucket":                                            {"storage.googleapis.com", "bucket", "", "gs://bucket"},
		"gs://my.bucket/p/q":                                     {"storage.googleapis.com", "my.bucket", "p/q/", "gs://my.bucket/p/q"},
		"s3://vpce-1.s3.us-east-1.vpce.example.com/buck.et/x/y/": {"vpce-1.s3.us-east-1.vpce.example.com", "buck.et", "x/y/", "s3://vpce-1.s3.us-east-1.vpce.example.com/buck.et/x/y"},
	} {
		c, err := newClient(t.Context(), uri, new(defaults()))
		if err != nil {
			t.Errorf("%s: %v, hint %q", uri, err, sdk.Hint(err))
			continue
		}
		if c.core.EndpointURL().Host != want.endpoint || c.bucket != want.bucket || c.prefix != want.prefix || c.place != want.place {
			t.Errorf("%s is endpoint %s, bucket %s, prefix %s, place %s; want %+v", uri, c.core.EndpointURL().Host, c.bucket, c.prefix, c.place, want)
		}
	}
}

func TestWrongLocations(t *testing.T) {
	bare(t)
	for uri, want := range map[string]struct{ text, hint string }{
		"s3://bucket":                           {`"bucket" stands where the endpoint does`, "s3:///bucket"},
		"s3://":                                 {"names no bucket", "s3:///bucket/prefix"},
		"s3://s3.amazonaws.com/":                {"names no bucket", "s3:///bucket/prefix"},
		"minio:///bucket":                       {"names no host", "minio://127.0.0.1:9000/bucket/prefix"},
		"minio://:9000/bucket":                  {"names no host", "minio://"},
		"minio://127.0.0.1:9000":                {"names no bucket", "minio://127.0.0.1:9000/bucket/prefix"},
		"gs://storage.googleapis.com/bucket":    {"is an endpoint", "gs://bucket/prefix"},
		"gs://bucket:9000/x":                    {"is an endpoint", "gs://bucket/prefix"},
		"minio://me:canary@127.0.0.1:9000/b":    {"names a user", "accessKey"},
		"s3://h.example.com/bucket/../other":    {`".." is no name`, "s3:///"},
		"s3://h.example.com/bucket/%2e%2e/x":    {`".." is no name`, "s3:///"},
		"s3://h.example.com/bucket/./x":         {`"." is no name`, "s3:///"},
		"s3://h.example.com/bucket/a%00b":       {"no path should have", "s3:///"},
		"s3://h.example.com/bucket/%ff":         {"no path should have", "s3:///"},
		"s3://h.example.com/bucket?secure=1":    {"%3F", ""},
		"s3://h.example.com/bucket#x":           {"%23", ""},
		"s3://h.example.com:99999/bucket":       {"no port 99999", "s3:///"},
		"s3://h.example.com:/bucket":            {"port", "s3:///"},
		"s3://h.example.com:x/bucket":           {"no valid URI", ""},
		"s3://h.example.com/ab":                 {"3 to 63 characters", "3 to 63 lower case letters"},
		"s3://acme-dr/dg":                       {"3 to 63 characters", "write s3:///acme-dr/dg; if not, a bucket's name has 3 to 63"},
		"s3://h.example.com/bu$ket":             {"letters, digits, dots", "3 to 63 lower case letters"},
		"s3://h.example.com/1.2.3.4":            {"IP address", "3 to 63 lower case letters"},
		"s3:bucket/x":                           {"no // behind", "s3:///"},
		"ftp://h/b":                             {`"ftp" is not s3, gs or minio`, ""},
		"s3://bucket.s3.amazonaws.com/prefix":   {"the bucket is part of the host name", "s3://s3.amazonaws.com/bucket"},
		"s3://b.s3.us-west-2.amazonaws.com/pre": {"the bucket is part of the host name", "s3://s3.us-west-2.amazonaws.com/b"},
	} {
		_, err := newClient(t.Context(), uri, new(defaults()))
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), want.text) || !strings.Contains(sdk.Hint(err), want.hint) {
			t.Errorf("%s: %v, hint %q; want %q, hint %q", uri, err, sdk.Hint(err), want.text, want.hint)
		}
		if strings.Contains(fmt.Sprint(err, sdk.Hint(err)), "canary") {
			t.Errorf("%s: the error shows the password: %v", uri, err)
		}
	}
}

func TestContradictions(t *testing.T) {
	bare(t)
	key := sdk.NewSecret("canary")
	for name, c := range map[string]struct {
		uri   string
		cfg   func(*Config)
		wants []string
	}{
		"anonymous with keys":      {"s3:///bucket", func(c *Config) { c.Anonymous, c.AccessKey, c.SecretKey = true, key, key }, []string{"anonymous", "accessKey"}},
		"anonymous with a secret":  {"s3:///bucket", func(c *Config) { c.Anonymous, c.SecretKey = true, key }, []string{"anonymous", "secretKey"}},
		"anonymous with a profile": {"s3:///bucket", func(c *Config) { c.Anonymous, c.Profile = true, "x" }, []string{"anonymous", "profile"}},
		"no secret":                {"s3:///bucket", func(c *Config) { c.AccessKey = key }, []string{"accessKey", "secretKey"}},
		"no access key":            {"s3:///bucket", func(c *Config) { c.SecretKey = key }, []string{"accessKey", "secretKey"}},
		"a token alone":            {"s3:///bucket", func(c *Config) { c.SessionToken = key }, []string{"sessionToken", "accessKey"}},
		"keys and a profile":       {"s3:///bucket", func(c *Config) { c.AccessKey, c.SecretKey, c.Profile = key, key, "x" }, []string{"accessKey", "profile"}},
		"keys and origins":         {"s3:///bucket", func(c *Config) { c.AccessKey, c.SecretKey, c.Credentials = key, key, "file" }, []string{"accessKey", "credentials"}},
		"a profile and no file":    {"s3:///bucket", func(c *Config) { c.Profile, c.Credentials = "x", "environment" }, []string{"profile", "credentials"}},
		"unknown origin":           {"s3:///bucket", func(c *Config) { c.Credentials = "file,imds" }, []string{"credentials", "imds", "web-identity"}},
		"two endpoints":            {"s3://h.example.com/bucket", func(c *Config) { c.Endpoint = "h:1" }, []string{"endpoint", "uri"}},
		"endpoint with a path":     {"s3:///bucket", func(c *Config) { c.Endpoint = "h:1/x" }, []string{"endpoint", "127.0.0.1:9000"}},
		"http endpoint":            {"s3:///bucket", func(c *Config) { c.Endpoint = "http://h:1" }, []string{"endpoint", "secure"}},
		"https endpoint":           {"s3:///bucket", func(c *Config) { c.Endpoint, c.Secure = "https://h:1", false }, []string{"endpoint", "secure"}},
		"ca_file without TLS":      {"s3:///bucket", func(c *Config) { c.CAFile, c.Secure = "x", false }, []string{"ca_file", "secure"}},
		"no ca_file":               {"s3:///bucket", func(c *Config) { c.CAFile = "/nowhere/ca" }, []string{"ca_file", "/nowhere/ca"}},
		"two regions":              {"s3://s3.us-west-2.amazonaws.com/bucket", func(c *Config) { c.Region = "eu-west-1" }, []string{"region", "us-west-2"}},
		"accelerated elsewhere":    {"s3://h.example.com/bucket", func(c *Config) { c.Acceleration = true }, []string{"acceleration", "endpoint", "h.example.com"}},
		"accelerated by path":      {"s3:///bucket", func(c *Config) { c.Acceleration, c.PathStyle = true, true }, []string{"acceleration", "path_style"}},
		"accelerated with a dot":   {"s3:///buck.et", func(c *Config) { c.Acceleration = true }, []string{"acceleration", "buck.et"}},
		"small parts":              {"s3:///bucket", func(c *Config) { c.PartSize = 1 << 20 }, []string{"part_size", "1 MiB is not between 5 MiB and 512 MiB"}},
		"large parts":              {"s3:///bucket", func(c *Config) { c.PartSize = 1<<30 + 1 }, []string{"part_size", "1073741825 bytes is not between"}},
		"unknown checksum":         {"s3:///bucket", func(c *Config) { c.Checksum = "md5" }, []string{"checksum", "crc32c"}},
		"negative age":             {"s3:///bucket", func(c *Config) { c.AbortAfter = -1 }, []string{"abort_uploads_after"}},
		"strange storage class":    {"s3:///bucket", func(c *Config) { c.StorageClass = "cheap\r\n" }, []string{"storage_class"}},
		"unknown encryption":       {"s3:///bucket", func(c *Config) { c.SSE = "aes" }, []string{"sse", "kms:KEYID"}},
		"no key":                   {"s3:///bucket", func(c *Config) { c.SSE = "c:/nowhere/key" }, []string{"sse", "/nowhere/key"}},
		"a key in clear text":      {"minio://127.0.0.1:1/bucket", func(c *Config) { c.SSE, c.Secure = "c:/nowhere/key", false }, []string{"sse", "secure"}},
		"unknown lock":             {"s3:///bucket", func(c *Config) { c.ObjectLock = "forever" }, []string{"object_lock", "governance:30d"}},
		"no days":                  {"s3:///bucket", func(c *Config) { c.ObjectLock = "compliance:0d" }, []string{"object_lock"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t.Context(), c.uri, new(defaults(c.cfg)))
			if !errors.Is(err, sdk.ErrInvalid) {
				t.Fatalf("%v, want ErrInvalid", err)
			}
			for _, want := range c.wants {
				if said := err.Error() + " " + sdk.Hint(err); !strings.Contains(said, want) || strings.Contains(said, "canary") {
					t.Errorf("%q, want something about %s", said, want)
				}
			}
		})
	}
}

// Google's storage takes one region for all; another store behind gs: has its own.
func TestRegionOfGoogle(t *testing.T) {
	bare(t)
	for _, c := range []struct{ endpoint, region, want, detail string }{
		{"", "", "auto", "auto, which is every region of Google's"},
		{"storage.googleapis.com:443", "", "auto", "auto, which is every region of Google's"},
		{"", "eu", "eu", "eu, as it is set"},
		{"127.0.0.1:1", "", "", "not asked for yet"},
		{"127.0.0.1:1", "eu", "eu", "eu, as it is set"},
	} {
		got, err := newClient(t.Context(), "gs://bucket", new(defaults(func(cfg *Config) { cfg.Endpoint, cfg.Region = c.endpoint, c.region })))
		if err != nil {
			t.Fatal(err)
		}
		if detail := got.regionFact().Detail; got.region != c.want || detail != c.detail {
			t.Errorf("endpoint %q, region %q: region %q, %q; want %q, %q", c.endpoint, c.region, got.region, detail, c.want, c.detail)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		`"16MiB"`: 16 << 20, `"5MB"`: 5e6, `"1 GiB"`: 1 << 30, `"5242880"`: 5 << 20, `5242880`: 5 << 20, `"64KiB"`: 64 << 10, `"9B"`: 9,
		`"x"`: -1, `"-1"`: -1, `"1.5MiB"`: -1, `"99999999999GiB"`: -1, `""`: -1, `true`: -1,
	} {
		got := Size(-1)
		if err := got.UnmarshalJSON([]byte(text)); err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
}

// A key for SSE-C may be written in three ways.
func TestKeyFiles(t *testing.T) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	file := filepath.Join(t.TempDir(), "key")
	for what, text := range map[string]string{
		"plain": string(key), "base64": base64.StdEncoding.EncodeToString(key) + "\n", "hexadecimal": hex.EncodeToString(key) + "\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readKey(file); err != nil || !slices.Equal(got, key) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.WriteFile(file, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKey(file); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a short key: %v", err)
	}
}

// A lock counts from the moment of writing, not from that of opening.
func TestObjectLock(t *testing.T) {
	bare(t)
	c, err := newClient(t.Context(), "s3:///bucket", new(defaults(func(c *Config) { c.ObjectLock = "governance:30d" })))
	if err != nil {
		t.Fatal(err)
	}
	month := 30 * 24 * time.Hour
	before := time.Now()
	got := c.options()
	if got.Mode != minio.Governance || got.RetainUntilDate.Before(before.Add(month)) || got.RetainUntilDate.After(time.Now().Add(month)) {
		t.Errorf("locked until %v (%s)", got.RetainUntilDate, got.Mode)
	}
	if !got.RetainUntilDate.After(c.put.RetainUntilDate) {
		t.Error("a later write is locked no longer than an earlier one")
	}
}
