package plugindir

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseLocation(t *testing.T) {
	abs, err := filepath.Abs("backups")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]location{
		"backups":              {uri: abs, public: abs},
		"/srv/a?mode=1 #2":     {uri: "/srv/a?mode=1 #2", public: "/srv/a?mode=1 #2"},
		"file:///srv/b":        {scheme: "file", uri: "file:///srv/b", public: "file:///srv/b"},
		"file:/srv/b?mode=750": {scheme: "file", uri: "file:/srv/b", public: "file:/srv/b", settings: map[string]string{"mode": "750"}},
		"S3://KEY:SECRET@host/bucket/dir?region=eu&secretkey=SECRET": {
			scheme: "s3", uri: "s3://KEY:SECRET@host/bucket/dir", public: "s3://host/bucket/dir",
			settings: map[string]string{"region": "eu", "secretkey": "SECRET"},
		},
		"s3:///b?secretKey=a+b/c%2Bd%2Fe%20f==&accessKey=x;y&note=a+b%2Bc&": {
			scheme: "s3", uri: "s3:///b", public: "s3:///b",
			settings: map[string]string{"secretKey": "a+b/c+d/e f==", "accessKey": "x;y", "note": "a b+c"},
		},
		"azure://a/b?sas=sig%3Da%252Bb%26se%3D1+2&account_key=+": {
			scheme: "azure", uri: "azure://a/b", public: "azure://a/b",
			settings: map[string]string{"sas": "sig=a%2Bb&se=1+2", "account_key": "+"},
		},
	} {
		got, err := parseLocation(in)
		if err != nil {
			t.Errorf("parseLocation(%q): %v", in, err)
			continue
		}
		if got.scheme != want.scheme || got.uri != want.uri || got.public != want.public || !maps.Equal(got.settings, want.settings) {
			t.Errorf("parseLocation(%q) = %+v, want %+v", in, got, want)
		}
	}
}

func TestParseLocationKeepsSecretsOutOfErrors(t *testing.T) {
	for _, in := range []string{
		"",
		"s3://key:SECRET/with/slash@host/b",
		"s3://key:SECRET%zz@host/b",
		"s3://host:SECRET/b",
		"s3://host/b?secretkey=SECRET%zz",
		"s3://host/b?secretkey=SECRET&secretkey=SECRET2",
		"s3://host/b?uri=SECRET",
	} {
		_, err := parseLocation(in)
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("parseLocation of %d bytes = %v, want an ErrInvalid", len(in), err)
			continue
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
