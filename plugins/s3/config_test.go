package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/s3store"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// What cannot work is refused before anything is asked of the network, by name,
// and without a secret.
func TestWrongSettings(t *testing.T) {
	p := sdktest.Start(t)
	for name, c := range map[string]struct {
		settings map[string]any
		wants    []string
	}{
		"unknown":             {map[string]any{"uri": "s3:///bucket", "acessKey": "canary"}, []string{`"acessKey"`, `did you mean "accessKey"`, "known:", "storage_class", "abort_uploads_after"}},
		"no text":             {map[string]any{"uri": "s3:///bucket", "accessKey": 5}, []string{"accessKey"}},
		"no truth":            {map[string]any{"uri": "s3:///bucket", "secure": "maybe"}, []string{"secure", "bool"}},
		"no size":             {map[string]any{"uri": "s3:///bucket", "part_size": "large"}, []string{"part_size", "64MiB"}},
		"no duration":         {map[string]any{"uri": "s3:///bucket", "abort_uploads_after": "soon"}, []string{"abort_uploads_after", "duration"}},
		"contradiction":       {map[string]any{"uri": "gs://bucket", "anonymous": "true", "accessKey": "canary", "secretKey": "canary"}, []string{"anonymous", "accessKey"}},
		"half":                {map[string]any{"uri": "gs://bucket", "secretKey": "canary"}, []string{"secretKey", "accessKey"}},
		"no bucket":           {map[string]any{"uri": "s3://bucket"}, []string{"s3:///bucket"}},
		"the plugin for that": {map[string]any{"uri": "ftp://h/bucket"}, []string{"ftp"}},
	} {
		_, err := p.OpenDestination(t.Context(), c.settings)
		said := fmt.Sprint(err, " ", sdk.Hint(err))
		if !errors.Is(err, sdk.ErrInvalid) || strings.Contains(said, "canary") {
			t.Errorf("%s: %s, want ErrInvalid", name, said)
		}
		for _, want := range c.wants {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %s, want something about %s", name, said, want)
			}
		}
	}
}

// Settings of a URI are text, those of a file may be numbers.
func TestRightSettings(t *testing.T) {
	p := sdktest.Start(t)
	for _, settings := range []map[string]any{
		{"uri": "s3:///bucket/prefix", "part_size": "64MiB", "anonymous": "true", "trace": "false", "path_style": "1", "abort_uploads_after": "0s"},
		{"uri": "gs://bucket", "part_size": 8 << 20, "anonymous": true, "secure": true, "region": "auto", "endpoint": "127.0.0.1:1"},
		{"uri": "s3://s3-accelerate.amazonaws.com/bucket", "anonymous": true},
		{"uri": "s3:///bucket", "acceleration": true, "storage_class": "STANDARD_IA", "object_lock": "compliance:1d", "sse": "kms:alias/x", "accessKey": "a", "secretKey": "b", "sessionToken": "c"},
	} {
		if _, err := p.OpenDestination(t.Context(), settings); err != nil {
			t.Errorf("%v: %v", settings, err)
		}
	}
}

// Every variable that is read is declared, and every setting explains itself.
func TestDescription(t *testing.T) {
	d := sdktest.Start(t).Description()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CA_BUNDLE", "GS_ACCESS_KEY_ID"} {
		if !slices.Contains(d.Env, name) {
			t.Errorf("%s is not declared: %q", name, d.Env)
		}
	}
	if d.Limits != s3store.Limits {
		t.Errorf("limits %+v", d.Limits)
	}
	for _, s := range d.Settings {
		if s.Doc == "" {
			t.Errorf("setting %s has no word about it", s.Name)
		}
		if secret := slices.Contains([]string{"accessKey", "secretKey", "sessionToken"}, s.Name); s.Secret != secret {
			t.Errorf("setting %s is secret: %v", s.Name, s.Secret)
		}
	}
}
