package main

import (
	"errors"
	"maps"
	"testing"

	"github.com/brock-backup/brock/host"
)

func TestSuperflag(t *testing.T) {
	t.Setenv("HOME", "/home/of")
	for in, want := range map[string]map[string]string{
		"key-file=/k":            {"key-file": "/k"},
		" KEY_FILE = a=b ; ":     {"key-file": "a=b"},
		"":                       {},
		"key-file=~/k":           {"key-file": "/home/of/k"},
		"key-file=a~/k":          {"key-file": "a~/k"},
		"key-file=":              nil,
		"key-file":               nil,
		"keyfile=/k":             nil,
		"key-file=/k; vault=yes": nil,
	} {
		got, err := superflag(in, "key-file")
		if (err == nil) != (want != nil) || want != nil && !maps.Equal(got, want) {
			t.Errorf("superflag(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	got, err := superflag("role-id-file=~/r; enc-field=~/f", "role-id-file", "enc-field")
	if want := map[string]string{"role-id-file": "/home/of/r", "enc-field": "~/f"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestStateOfAKey(t *testing.T) {
	broken := errors.New("broken")
	for want, s := range map[string]host.SeriesKey{
		"":                 {},
		"ok":               {Encrypted: true, Opened: true},
		"older key":        {Encrypted: true, Opened: true, Stale: true},
		"rewrapped":        {Encrypted: true, Opened: true, Rewrapped: true},
		"not rewrapped":    {Encrypted: true, Opened: true, Stale: true, Err: broken},
		"cannot be opened": {Encrypted: true, Stale: true, Err: broken},
	} {
		if got := newKeyView(&s, true); got.State != want || (got.Error != "") != (s.Err != nil) {
			t.Errorf("%+v: state %q, error %q; want %q", s, got.State, got.Error, want)
		}
	}
}
