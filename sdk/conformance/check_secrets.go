package conformance

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
)

// secretSettings opens the plugin with every secret setting wrong, and looks for
// those and for the right ones in whatever it says. It speaks to the plugin
// itself: a host would mask them.
func secretSettings(t *trial, l *lab) {
	p := l.own(t)
	var said strings.Builder
	secrets := map[string][][]byte{}
	for _, s := range p.Description().Settings {
		if !s.Secret {
			continue
		}
		canary := "brock-canary-" + newRoot()
		secrets[s.Name] = [][]byte{[]byte(canary), plain(l.Settings[s.Name])}
		for _, value := range []any{canary, l.Settings[s.Name]} {
			w := tap(t, p)
			err := w.open(l.with(s.Name, value))
			if err == nil {
				err = w.use(l)
			}
			if remote, ok := errors.AsType[*code.Remote](err); ok {
				fmt.Fprintln(&said, remote.Text, remote.Tip)
			}
		}
	}
	if len(secrets) == 0 {
		t.Skipf("the plugin has no secret settings")
	}
	_ = p.Close() // now it has said all
	for name, values := range secrets {
		for _, secret := range values {
			l.hunt(t, said.String(), name, secret)
		}
	}
}

// secretsUnseen looks for secret settings where every user of the machine, or
// every process that the plugin starts, can see them.
func secretsUnseen(t *trial, l *lab) {
	t.needProc()
	p := l.own(t)
	secrets := 0
	for _, s := range p.Description().Settings {
		if !s.Secret {
			continue
		}
		secrets++
		canary := "brock-canary-" + newRoot()
		for _, value := range []any{canary, l.Settings[s.Name]} {
			w := tap(t, p)
			if w.open(l.with(s.Name, value)) == nil {
				_ = w.use(l)
			}
		}
		right := plain(l.Settings[s.Name])
		if strings.Contains(strings.Join(l.Env, "\n"), string(right)) {
			right = nil // the user has put it there
		}
		for _, q := range family(p.Pid()) {
			for _, file := range []string{"cmdline", "environ"} {
				data, _ := os.ReadFile(procFile(q.pid, file))
				for _, form := range append(formsOf([]byte(canary)), formsOf(right)...) {
					if strings.Contains(string(data), form) {
						t.Errorf("%s appears in %s of process %d", s.Name, file, q.pid)
					}
				}
			}
		}
	}
	if secrets == 0 {
		t.Skipf("the plugin has no secret settings")
	}
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
