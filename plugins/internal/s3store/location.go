package s3store

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/brock-backup/brock/sdk"
)

// A scheme is what the URIs of one kind of store have of their own.
type scheme struct {
	form     string // of a URI, for people
	endpoint string // if the URI names none
	origins  []origin
	pairs    []pair // of variables that hold keys, the first that is set wins
}

const (
	amazonHost = "s3.amazonaws.com"
	googleHost = "storage.googleapis.com"
)

var schemes = map[string]scheme{
	"s3": {
		form:     "s3:///bucket/prefix, or s3://s3.us-west-2.amazonaws.com/bucket/prefix",
		endpoint: amazonHost,
		origins:  []origin{fromEnvironment, fromFile, fromWebIdentity, fromContainer, fromInstance},
		pairs:    awsPairs,
	},
	"gs": {
		form:     "gs://bucket/prefix",
		endpoint: googleHost,
		origins:  []origin{fromEnvironment, fromFile},
		pairs: append([]pair{
			{id: []string{"GS_ACCESS_KEY_ID"}, secret: []string{"GS_SECRET_ACCESS_KEY"}},
		}, awsPairs...),
	},
	"minio": {
		form:    "minio://127.0.0.1:9000/bucket/prefix",
		origins: []origin{fromEnvironment},
		pairs: []pair{
			{id: []string{"MINIO_ACCESS_KEY"}, secret: []string{"MINIO_SECRET_KEY"}},
			{id: []string{"MINIO_ROOT_USER"}, secret: []string{"MINIO_ROOT_PASSWORD"}},
		},
	},
}

var awsPairs = []pair{{ //nolint:gosec // names, not values
	id:     []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"},
	secret: []string{"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"},
	token:  "AWS_SESSION_TOKEN",
}}

// A location is what a URI means.
type location struct {
	scheme  string
	host    string // with its port, if there is one; "" if the URI names no endpoint
	bucket  string
	prefix  string // "" or ending in "/"
	ignored string // the host of an s3 URI that is none, as Dgraph has it: without a dot
}

// parse understands a URI whose settings have been taken off. No error shows a
// user or a password that somebody wrote into it.
func parse(uri string) (location, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return location{}, fmt.Errorf("the location is no valid URI: %w", sdk.ErrInvalid)
	}
	s, ok := schemes[u.Scheme]
	if !ok {
		return location{}, fmt.Errorf("the location's scheme %q is not s3, gs or minio: %w", u.Scheme, sdk.ErrInvalid)
	}
	wrong := func(format string, args ...any) (location, error) {
		return location{}, sdk.WithHint(
			fmt.Errorf("%s location: %s: %w", u.Scheme, fmt.Sprintf(format, args...), sdk.ErrInvalid), "write "+s.form)
	}
	switch {
	case u.User != nil:
		return location{}, sdk.WithHint(fmt.Errorf("%s location: it names a user before the @: %w", u.Scheme, sdk.ErrInvalid),
			"credentials are the settings accessKey and secretKey, or are taken from the environment")
	case u.Opaque != "":
		return wrong("no // behind the scheme")
	case u.RawQuery != "" || u.Fragment != "":
		return location{}, fmt.Errorf("%s location: a ? or # that is part of the prefix is written %%3F or %%23: %w", u.Scheme, sdk.ErrInvalid)
	}
	l := location{scheme: u.Scheme, host: u.Host}
	path := u.Path
	switch u.Scheme {
	case "gs":
		if u.Port() != "" || strings.EqualFold(u.Hostname(), googleHost) {
			return wrong("the bucket comes first, and %s is an endpoint", u.Host)
		}
		l.host, path = "", "/"+u.Host+u.Path
	case "minio":
		if u.Hostname() == "" {
			return wrong("it names no host")
		}
	case "s3":
		if h := u.Hostname(); u.Port() == "" && h != "localhost" && !strings.ContainsAny(h, ".:") {
			l.ignored, l.host = h, ""
		}
	}
	if err := checkPort(u.Port(), u.Host); err != nil {
		return wrong("%v", err)
	}
	elements, err := split(path)
	if err != nil {
		return wrong("%v", err)
	}
	if len(elements) == 0 {
		if l.ignored != "" {
			return location{}, sdk.WithHint(fmt.Errorf("s3 location: %q stands where the endpoint does, and there is no bucket: %w", l.ignored, sdk.ErrInvalid),
				fmt.Sprintf("a bucket comes behind three slashes: s3:///%s", l.ignored))
		}
		return wrong("it names no bucket")
	}
	l.bucket = elements[0]
	for _, e := range elements[1:] {
		l.prefix += e + "/"
	}
	if err := checkBucket(l.bucket); err != nil {
		return location{}, sdk.WithHint(fmt.Errorf("%s location: bucket %q: %w: %w", u.Scheme, l.bucket, err, sdk.ErrInvalid),
			bucketHint(l.ignored, l.bucket, l.prefix, bucketRule))
	}
	return l, nil
}

func checkPort(port, host string) error {
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return fmt.Errorf("there is no port %s", port)
	}
	if port == "" && strings.HasSuffix(host, ":") {
		return fmt.Errorf("the port behind %s is missing", host)
	}
	return nil
}

// split returns the elements of a path. Empty ones, those of "//" and of a "/"
// at the end, are left out; ".." is refused rather than followed, and so is what
// no key should have in it.
func split(path string) ([]string, error) {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return nil, fmt.Errorf("%q has characters in it that no path should have", path)
	}
	var elements []string
	for e := range strings.SplitSeq(path, "/") {
		switch e {
		case "":
			continue
		case ".", "..":
			return nil, fmt.Errorf("%q is no name in a bucket", e)
		}
		elements = append(elements, e)
	}
	return elements, nil
}

// bucketRule is what stores say of the names of buckets.
const bucketRule = "a bucket's name has 3 to 63 lower case letters, digits, hyphens and dots, and begins and ends with a letter or a digit"

// bucketHint is what can be done about a bucket that is none. What all others call
// s3://bucket/prefix names another bucket here.
func bucketHint(ignored, bucket, prefix, otherwise string) string {
	if ignored == "" {
		return otherwise
	}
	return fmt.Sprintf("%q stands where the endpoint does, and %q is the bucket; if %q is the bucket, write s3:///%s; if not, %s",
		ignored, bucket, ignored, strings.TrimSuffix(ignored+"/"+bucket+"/"+prefix, "/"), otherwise)
}

// checkBucket refuses what no store takes. Whether this one takes it, it says
// itself: there are old buckets with capital letters.
func checkBucket(name string) error {
	err := s3utils.CheckValidBucketName(name)
	if err == nil {
		return nil
	}
	switch {
	case len(name) < 3 || len(name) > 63:
		return fmt.Errorf("a name has 3 to 63 characters")
	case net.ParseIP(name) != nil:
		return fmt.Errorf("a name does not look like an IP address")
	}
	return fmt.Errorf("a name has letters, digits, dots and hyphens, and begins and ends with a letter or a digit")
}

func isGoogle(host string) bool { return strings.EqualFold(hostname(host), googleHost) }

// place returns the location for people.
func (l location) place(endpoint string) string {
	host := "/" + endpoint
	if l.scheme == "gs" {
		host = ""
	}
	return strings.TrimSuffix(l.scheme+":/"+host+"/"+l.bucket+"/"+l.prefix, "/")
}
