package s3store

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/brock-backup/brock/sdk"
)

// Config holds the settings that the plugins s3 and minio have in common. Those
// that Dgraph has too have its names.
type Config struct {
	AccessKey    sdk.Secret `json:"accessKey"    doc:"access key ID; of Google Cloud Storage that of an HMAC key"`
	SecretKey    sdk.Secret `json:"secretKey"    doc:"secret access key"`
	SessionToken sdk.Secret `json:"sessionToken" doc:"token of temporary credentials"`
	Anonymous    bool       `json:"anonymous"    default:"false" doc:"send no credentials, and look for none"`
	Credentials  string     `json:"credentials"  doc:"where credentials are looked for, in this order: environment, file, web-identity, container, instance" example:"file,instance"`
	Profile      string     `json:"profile"      doc:"profile in the shared credentials file" example:"backup"`

	Secure       bool   `json:"secure"       default:"true"  doc:"TLS; false is plain HTTP, and credentials travel in clear text"`
	CAFile       string `json:"ca_file"      doc:"certificates, in PEM, that the server's may be signed with" example:"/etc/brock/ca.crt"`
	Endpoint     string `json:"endpoint"     doc:"host and port of the server, if the URI does not name it" example:"127.0.0.1:9000"`
	Region       string `json:"region"       doc:"region of the bucket; found out if absent" example:"eu-central-1"`
	PathStyle    bool   `json:"path_style"   default:"false" doc:"never make the bucket part of the host name"`
	Acceleration bool   `json:"acceleration" default:"false" doc:"Amazon's transfer acceleration"`
	Trace        bool   `json:"trace"        default:"false" doc:"log every request with its headers, except for what is secret"`

	PartSize     Size          `json:"part_size"           default:"16MiB" doc:"size of the parts that large objects are sent in, 5MiB to 512MiB" example:"64MiB"`
	Checksum     string        `json:"checksum"            default:"auto"  doc:"what the store verifies what it receives with: auto, crc32c, sha256 or off"`
	SSE          string        `json:"sse"                 doc:"encryption by the store: s3, kms, kms:KEYID, or c:FILE with a key of 32 bytes" example:"kms:alias/backup"`
	StorageClass string        `json:"storage_class"       doc:"storage class of what is written" example:"STANDARD_IA"`
	ObjectLock   string        `json:"object_lock"         doc:"lock what is written, for so many days: governance:30d or compliance:30d" example:"governance:30d"`
	AbortAfter   time.Duration `json:"abort_uploads_after" default:"24h"   doc:"age from which unfinished uploads below the prefix are removed; 0 is never"`
}

// A Size is a number of bytes. In settings it is a number, or text as in "16MiB".
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// String returns the size in the largest binary unit of which it is a multiple.
func (s Size) String() string {
	for _, u := range units[:3] {
		if n := Size(u.bytes); s != 0 && s%n == 0 {
			return fmt.Sprintf("%d %s", s/n, u.suffix)
		}
	}
	return fmt.Sprintf("%d bytes", int64(s))
}

// UnmarshalText reads a whole number and a unit.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size", text)
}

// UnmarshalJSON reads a number of bytes, or text.
func (s *Size) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return s.UnmarshalText([]byte(text))
	}
	return json.Unmarshal(data, (*int64)(s))
}

const (
	minPart = 5 << 20   // bytes; what S3 takes at least, except for the last part
	maxPart = 512 << 20 // bytes; two or three of them are in memory
)

// setting returns the error of a setting that can never work.
func setting(name, format string, args ...any) error {
	return fmt.Errorf("setting %s: %s: %w", name, fmt.Sprintf(format, args...), sdk.ErrInvalid)
}

// clash is the error of two settings that contradict each other.
func clash(one, other, hint string) error {
	return sdk.WithHint(fmt.Errorf("settings %s and %s contradict each other: %w", one, other, sdk.ErrInvalid), hint)
}

// check refuses what can never work, before anything is asked of the network.
func (cfg *Config) check(l location) error {
	for _, err := range []error{cfg.checkKeys(), cfg.checkPlace(l), cfg.checkWriting()} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (cfg *Config) checkKeys() error {
	id, secret, token := !cfg.AccessKey.IsZero(), !cfg.SecretKey.IsZero(), !cfg.SessionToken.IsZero()
	if cfg.Anonymous {
		for _, s := range []struct {
			name  string
			given bool
		}{
			{"accessKey", id},
			{"secretKey", secret},
			{"sessionToken", token},
			{"profile", cfg.Profile != ""},
			{"credentials", cfg.Credentials != ""},
		} {
			if s.given {
				return clash("anonymous", s.name, "anonymous=true sends no credentials: leave one of the two out")
			}
		}
	}
	switch {
	case id && !secret:
		return sdk.WithHint(setting("accessKey", "it is there, and secretKey is not"), "give both or none")
	case secret && !id:
		return sdk.WithHint(setting("secretKey", "it is there, and accessKey is not"), "give both or none")
	case token && !id:
		return sdk.WithHint(setting("sessionToken", "it is there, and accessKey is not"), "a token belongs to its accessKey and secretKey")
	case id && cfg.Profile != "":
		return clash("accessKey", "profile", "leave one of the two out")
	case id && cfg.Credentials != "":
		return clash("accessKey", "credentials", "leave one of the two out")
	}
	from, err := originsOf(cfg.Credentials)
	if err == nil && cfg.Profile != "" && cfg.Credentials != "" && !slices.Contains(from, fromFile) {
		return clash("profile", "credentials", "a profile is looked for in the credentials file: add file to credentials")
	}
	return err
}

func (cfg *Config) checkPlace(l location) error {
	if l.host != "" && cfg.Endpoint != "" {
		return clash("endpoint", "uri", fmt.Sprintf("the URI names the endpoint %s already: leave one of the two out", l.host))
	}
	host, err := cfg.endpoint(l)
	if err != nil {
		return err
	}
	if cfg.CAFile != "" && !cfg.Secure {
		return clash("ca_file", "secure", "without TLS there is no certificate to be verified")
	}
	if of := regionOf(host); cfg.Region != "" && of != "" && cfg.Region != of {
		return clash("region", "uri", fmt.Sprintf("%s is in %s: leave region out", host, of))
	}
	if !cfg.accelerated(host) {
		return nil
	}
	switch {
	case !amazon(host) && !isAccelerate(host):
		return clash("acceleration", "endpoint", "only Amazon S3 has it, and "+host+" is not that")
	case cfg.PathStyle:
		return clash("acceleration", "path_style", "an accelerated bucket is part of the host name")
	case strings.Contains(l.bucket, "."):
		return setting("acceleration", "Amazon has none for a bucket with a dot in its name, as %q", l.bucket)
	}
	return nil
}

func (cfg *Config) checkWriting() error {
	switch {
	case cfg.PartSize < minPart || cfg.PartSize > maxPart:
		return setting("part_size", "%v is not between %v and %v", cfg.PartSize, Size(minPart), Size(maxPart))
	case !slices.Contains([]string{"auto", "crc32c", "sha256", "off"}, cfg.Checksum):
		return setting("checksum", "%q is not auto, crc32c, sha256 or off", cfg.Checksum)
	case cfg.AbortAfter < 0:
		return setting("abort_uploads_after", "%v is before the beginning", cfg.AbortAfter)
	case cfg.StorageClass != "" && strings.Trim(cfg.StorageClass, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		return setting("storage_class", "%q is not in capital letters, as in STANDARD_IA", cfg.StorageClass)
	case strings.HasPrefix(cfg.SSE, "c:") && !cfg.Secure:
		return clash("sse", "secure", "a key of your own is sent with every request: it needs TLS")
	}
	return nil
}

// endpoint returns the host, with its port if there is one, to talk to.
func (cfg *Config) endpoint(l location) (string, error) {
	host := l.host
	if cfg.Endpoint != "" {
		var err error
		if host, err = cfg.endpointHost(); err != nil {
			return "", err
		}
	}
	if host == "" {
		host = schemes[l.scheme].endpoint
	}
	name := hostname(host)
	if bucket, rest, ok := strings.Cut(name, ".s3"); ok && strings.HasSuffix(rest, ".amazonaws.com") && !amazon(host) {
		return "", sdk.WithHint(fmt.Errorf("endpoint %s: the bucket is part of the host name: %w", host, sdk.ErrInvalid),
			fmt.Sprintf("write the bucket behind the host: s3://s3%s/%s", rest, bucket))
	}
	if !s3utils.IsValidIP(name) && !s3utils.IsValidDomain(name) {
		return "", fmt.Errorf("endpoint %q is neither a host name nor an IP address: %w", host, sdk.ErrInvalid)
	}
	return host, nil
}

// endpointHost reads the setting endpoint, which may be a URL.
func (cfg *Config) endpointHost() (string, error) {
	kind, host, isURL := strings.Cut(cfg.Endpoint, "://")
	if !isURL {
		kind, host = "", cfg.Endpoint
	}
	if isURL && kind != "https" && kind != "http" {
		return "", setting("endpoint", "%q is no scheme of an endpoint", kind)
	}
	if kind == "http" && cfg.Secure || kind == "https" && !cfg.Secure {
		return "", clash("endpoint", "secure", "plain HTTP needs secure=false, and TLS secure=true")
	}
	u, err := url.Parse("//" + strings.TrimSuffix(host, "/"))
	if err != nil || u.User != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || checkPort(u.Port(), u.Host) != nil {
		return "", sdk.WithHint(setting("endpoint", "it is no host with or without a port"), "write it as in 127.0.0.1:9000")
	}
	return u.Host, nil
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

// amazon reports whether a host is Amazon S3 itself.
func amazon(host string) bool {
	return s3utils.IsAmazonEndpoint(url.URL{Host: host}) && !isAccelerate(host)
}

// regionOf returns the region that the name of a host of Amazon's tells.
func regionOf(host string) string {
	if isAccelerate(host) {
		return ""
	}
	return s3utils.GetRegionFromURL(url.URL{Host: host})
}

// isAccelerate recognises the two hosts of transfer acceleration. Dgraph takes
// them for endpoints, and so do we.
func isAccelerate(host string) bool {
	name := hostname(host)
	return name == "s3-accelerate.amazonaws.com" || name == "s3-accelerate.dualstack.amazonaws.com"
}

func accelerateHost(host string) string {
	switch {
	case isAccelerate(host):
		return host
	case dualstack(host):
		return "s3-accelerate.dualstack.amazonaws.com"
	}
	return "s3-accelerate.amazonaws.com"
}

func dualstack(host string) bool { return strings.Contains(host, ".dualstack.") }

// noRegion keeps minio-go from believing the endpoint's name: the bucket may be
// elsewhere, and the store tells.
func noRegion(url.URL) string { return "" }

// guessRegion is what to sign for where the store does not tell.
func guessRegion(host string) string {
	return firstOf(regionOf(host), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
}

func (cfg *Config) accelerated(host string) bool { return cfg.Acceleration || isAccelerate(host) }

// lock reads the setting object_lock. Its zero mode is none.
func (cfg *Config) lock() (minio.RetentionMode, time.Duration, error) {
	if cfg.ObjectLock == "" {
		return "", 0, nil
	}
	name, days, _ := strings.Cut(cfg.ObjectLock, ":")
	mode := minio.RetentionMode(strings.ToUpper(name))
	digits, ok := strings.CutSuffix(days, "d")
	n, err := strconv.Atoi(digits)
	if !mode.IsValid() || !ok || err != nil || n < 1 || n > 36500 {
		return "", 0, sdk.WithHint(setting("object_lock", "%q is no mode and number of days", cfg.ObjectLock),
			"write it as in governance:30d or compliance:30d")
	}
	return mode, time.Duration(n) * 24 * time.Hour, nil
}
