package sdktest

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk/conformance"
	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/launch"
)

// Main runs the tests, or the plugin if this process was started as one. After
// tests that passed it looks for goroutines that are left.
func Main(m *testing.M, plugin func()) {
	if os.Getenv(handshake.Config.MagicCookieKey) != "" || conformance.ByHand() {
		plugin()
		return
	}
	conformance.Init()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Start starts the plugin that is this test binary, with environment variables,
// each NAME=value, that it may see besides the usual. It ends with the test.
func Start(t *testing.T, env ...string) *launch.Process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch.Start(t.Context(), exe, launch.Options{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// An Option tells TestDestination or TestKeyProvider more about the plugin.
type Option func(*conformance.Subject)

// Env lets the plugin see environment variables, each NAME=value.
func Env(env ...string) Option {
	return func(s *conformance.Subject) { s.Env = append(s.Env, env...) }
}

// Denied gives the settings of a place that the plugin may neither read nor
// write, for the check that this is not mistaken for an empty one.
func Denied(settings any, env ...string) Option {
	return func(s *conformance.Subject) {
		s.Denied = &conformance.Variant{Settings: settingsOf(settings), Env: env}
	}
}

// ReadOnly gives the settings of a place that the plugin may read, and not
// write.
func ReadOnly(settings any, env ...string) Option {
	return func(s *conformance.Subject) {
		s.ReadOnly = &conformance.Variant{Settings: settingsOf(settings), Env: env}
	}
}

// Missing gives the settings of a place that is not there.
func Missing(settings any, env ...string) Option {
	return func(s *conformance.Subject) {
		s.Missing = &conformance.Variant{Settings: settingsOf(settings), Env: env}
	}
}

// Full gives the settings of a place with room for less than 32 MiB.
func Full(settings any, env ...string) Option {
	return func(s *conformance.Subject) { s.Full = &conformance.Variant{Settings: settingsOf(settings), Env: env} }
}

// Throttled gives the settings of a place that turns every request away.
func Throttled(settings any, env ...string) Option {
	return func(s *conformance.Subject) {
		s.Throttled = &conformance.Variant{Settings: settingsOf(settings), Env: env}
	}
}

// Other gives the settings of a key provider that has another key.
func Other(settings any, env ...string) Option {
	return func(s *conformance.Subject) { s.Other = &conformance.Variant{Settings: settingsOf(settings), Env: env} }
}

// TestDestination runs every check against the destination plugin that is this
// test binary. The settings are those of a place that the plugin may use: a
// map[string]any, or the plugin's own struct, of which fields that are zero
// are left out.
func TestDestination(t *testing.T, settings any, options ...Option) {
	t.Helper()
	report(t, self(t, settings, options).Destination(t.Context()))
}

// TestKeyProvider runs every check against the key provider plugin that is this
// test binary. The settings are as for TestDestination.
func TestKeyProvider(t *testing.T, settings any, options ...Option) {
	t.Helper()
	report(t, self(t, settings, options).KeyProvider(t.Context()))
}

func self(t *testing.T, settings any, options []Option) conformance.Subject {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := conformance.Subject{Path: exe, Settings: settingsOf(settings)}
	for _, o := range options {
		o(&s)
	}
	return s
}

// report makes a subtest of every result.
func report(t *testing.T, results iter.Seq[conformance.Result]) {
	t.Helper()
	reached := map[string]bool{} // false once a check of the profile has failed
	for r := range results {
		t.Run(r.Check, func(t *testing.T) {
			t.Logf("found out in %v", r.Took.Round(time.Millisecond))
			if r.Measured != "" {
				t.Log(r.Measured)
			}
			for _, f := range r.Failures {
				t.Error(f)
			}
			if r.Skipped != "" && !t.Failed() {
				t.Skip(r.Skipped)
			}
		})
		if good, seen := reached[r.Profile]; r.OK() && !seen || len(r.Failures) > 0 && (good || !seen) {
			reached[r.Profile] = r.OK()
		}
	}
	maps.DeleteFunc(reached, func(_ string, good bool) bool { return !good })
	t.Logf("profiles: %s", strings.Join(slices.Sorted(maps.Keys(reached)), ", "))
}

// settingsOf returns settings as a host sends them.
func settingsOf(settings any) map[string]any {
	if m, ok := settings.(map[string]any); ok {
		return m
	}
	m := map[string]any{}
	v := reflect.Indirect(reflect.ValueOf(settings))
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := v.FieldByIndex(f.Index)
		if !f.IsExported() || f.Anonymous || name == "-" || value.IsZero() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if d, ok := reflect.TypeAssert[time.Duration](value); ok {
			m[name] = d.String()
			continue
		}
		m[name] = value.Interface()
	}
	return m
}
