package main

import (
	"maps"
	"testing"
)

func TestSuperflag(t *testing.T) {
	for in, want := range map[string]map[string]string{
		"key-file=/k":            {"key-file": "/k"},
		" KEY_FILE = a=b ; ":     {"key-file": "a=b"},
		"":                       {},
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
}
