package conformance

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// secretSettings opens the plugin with every secret setting wrong, and looks for
// those and for the right ones in whatever it says. The host masks them as they
// are; it does not know every way of encoding them.
func secretSettings(t *trial, l *lab) {
	p := l.own(t)
	var said strings.Builder
	secrets := 0
	for _, s := range p.Description().Settings {
		if !s.Secret {
			continue
		}
		secrets++
		canary := "brock-canary-" + newRoot()
		settings := l.with(s.Name, canary)
		if v, err := l.open(t, p, settings); err != nil {
			fmt.Fprintln(&said, err)
		} else {
			fmt.Fprintln(&said, useOnce(t, v))
			closeValue(t, v)
		}
		l.hunt(t, said.String(), s.Name, []byte(canary))
		if right, ok := l.Settings[s.Name]; ok {
			l.hunt(t, said.String(), s.Name, plain(right))
		}
	}
	if secrets == 0 {
		t.Skipf("the plugin has no secret settings")
	}
}

// useOnce returns the error of something that needs the settings.
func useOnce(t *trial, v any) error {
	switch v := v.(type) {
	case sdk.Destination:
		for _, err := range v.List(t.ctx, "") {
			return err
		}
	case sdk.KeyProvider:
		_, err := v.Wrap(t.ctx, pattern(32))
		return err
	}
	return nil
}

// hunt looks for a secret in what the plugin has said.
func (l *lab) hunt(t *trial, said, what string, secret []byte) {
	said += l.stderr.String()
	for _, form := range formsOf(secret) {
		if strings.Contains(said, form) {
			t.Errorf("%s appears in an error or on standard error, as %.12q...", what, form)
		}
	}
}

// formsOf returns the ways in which bytes are likely to be printed.
func formsOf(secret []byte) []string {
	if len(secret) < 8 {
		return nil // may appear by chance
	}
	return []string{
		string(secret),
		hex.EncodeToString(secret),
		strings.ToUpper(hex.EncodeToString(secret)),
		base64.RawStdEncoding.EncodeToString(secret),
		base64.RawURLEncoding.EncodeToString(secret),
		fmt.Sprintf("%d", secret),
		fmt.Sprintf("%q", secret),
	}
}

func plain(v any) []byte {
	switch v := v.(type) {
	case sdk.Secret:
		return v.Reveal()
	case string:
		return []byte(v)
	}
	return nil
}
