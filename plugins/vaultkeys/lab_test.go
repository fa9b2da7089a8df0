//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

// A lab is one test's part of a real Vault: engines, logins and policies under names of its own.
type lab struct {
	t    *testing.T
	s    servers.VaultServer
	root *api.Client
	name string
}

func newLab(t *testing.T, s servers.VaultServer) *lab {
	t.Helper()
	c := api.DefaultConfig()
	c.Address, c.MaxRetries = s.Addr, 0
	if s.CAFile != "" {
		if err := c.ConfigureTLS(&api.TLSConfig{CACert: s.CAFile}); err != nil {
			t.Fatal(err)
		}
	}
	root, err := api.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	root.SetToken(s.RootToken)
	t.Cleanup(c.HttpClient.CloseIdleConnections)
	return &lab{t, s, root, "t" + hex.EncodeToString(random(6))}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// cleanup runs f at the end, when the test's context is over.
func (l *lab) cleanup(f func(ctx context.Context) error) {
	l.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f(ctx); err != nil {
			l.t.Error(err)
		}
	})
}

func (l *lab) put(path string, data map[string]any) *api.Secret {
	l.t.Helper()
	s, err := l.root.Logical().WriteWithContext(l.t.Context(), path, data)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) delete(path string) {
	l.t.Helper()
	if _, err := l.root.Logical().DeleteWithContext(l.t.Context(), path); err != nil {
		l.t.Fatal(err)
	}
}

// mount mounts an engine, kv-1, kv-2 or transit, and returns its path.
func (l *lab) mount(kind string) string {
	l.t.Helper()
	return l.mountAt(l.name+"-"+kind+"-"+hex.EncodeToString(random(2)), kind)
}

func (l *lab) mountAt(path, kind string) string {
	l.t.Helper()
	in := &api.MountInput{Type: kind}
	if name, version, ok := strings.Cut(kind, "-"); ok {
		in.Type, in.Options = name, map[string]string{"version": version}
	}
	if err := l.root.Sys().MountWithContext(l.t.Context(), path, in); err != nil {
		l.t.Fatal(err)
	}
	l.cleanup(func(ctx context.Context) error { return l.root.Sys().UnmountWithContext(ctx, path) })
	return path
}

// kv2 writes a key to a new store of version 2, and returns the path of the API.
func (l *lab) kv2(key []byte) string {
	l.t.Helper()
	path := l.mount("kv-2") + "/data/dgraph"
	l.write(path, key)
	return path
}

// write writes the next version of a key to a store of version 2.
func (l *lab) write(path string, key []byte) {
	l.t.Helper()
	l.put(path, map[string]any{"data": map[string]any{"enc_key": b64(key), "note": "of the lab"}})
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// transit makes a key in a new transit engine.
func (l *lab) transit(settings map[string]any) (mount, key string) {
	l.t.Helper()
	mount = l.mount("transit")
	l.put(mount+"/keys/brock", settings)
	return mount, "brock"
}

// policy makes a policy of lines like: PATH: read, update.
func (l *lab) policy(rules ...string) string {
	l.t.Helper()
	var text strings.Builder
	for _, r := range rules {
		path, caps, _ := strings.Cut(r, ": ")
		text.WriteString(`path "` + path + `" { capabilities = ["` + strings.ReplaceAll(caps, ", ", `", "`) + `"] }` + "\n")
	}
	name := l.name + "-" + hex.EncodeToString(random(2))
	if err := l.root.Sys().PutPolicyWithContext(l.t.Context(), name, text.String()); err != nil {
		l.t.Fatal(err)
	}
	l.cleanup(func(ctx context.Context) error { return l.root.Sys().DeletePolicyWithContext(ctx, name) })
	return name
}

// leastKV are the rights that package documentation promises to be enough.
func leastKV(path string) []string { return []string{path + ": read"} }

func leastTransit(mount, key string) []string {
	return []string{
		mount + "/encrypt/" + key + ": update", mount + "/decrypt/" + key + ": update", mount + "/rewrap/" + key + ": update",
		mount + "/datakey/plaintext/" + key + ": update", mount + "/keys/" + key + ": read",
	}
}

func (l *lab) auth(kind string) string {
	l.t.Helper()
	path := l.name + "-" + kind + "-" + hex.EncodeToString(random(2))
	if err := l.root.Sys().EnableAuthWithOptionsWithContext(l.t.Context(), path, &api.EnableAuthOptions{Type: kind}); err != nil {
		l.t.Fatal(err)
	}
	l.cleanup(func(ctx context.Context) error { return l.root.Sys().DisableAuthWithContext(ctx, path) })
	return path
}

// An approle is a role, and the files of one who plays it.
type approle struct {
	l                *lab
	mount            string
	roleID, secretID string
	roleFile         string
	secretFile       string
}

// approle makes a role with a policy, and with further settings in pairs.
func (l *lab) approle(policy string, settings ...any) *approle {
	l.t.Helper()
	data := map[string]any{"token_policies": policy}
	for i := 0; i < len(settings); i += 2 {
		data[settings[i].(string)] = settings[i+1]
	}
	a := &approle{l: l, mount: l.auth("approle")}
	l.put("auth/"+a.mount+"/role/brock", data)
	s, err := l.root.Logical().ReadWithContext(l.t.Context(), "auth/"+a.mount+"/role/brock/role-id")
	if err != nil {
		l.t.Fatal(err)
	}
	a.roleID = s.Data["role_id"].(string)
	a.roleFile = file(l.t, a.roleID)
	if data["bind_secret_id"] != false {
		a.newSecret()
	}
	return a
}

// newSecret makes another secret id.
func (a *approle) newSecret() {
	a.l.t.Helper()
	a.secretID = a.l.put("auth/"+a.mount+"/role/brock/secret-id", nil).Data["secret_id"].(string)
	if a.secretFile == "" {
		a.secretFile = file(a.l.t, a.secretID)
	} else if err := os.WriteFile(a.secretFile, []byte(a.secretID), 0o600); err != nil {
		a.l.t.Fatal(err)
	}
}

// config has the login, and defaults that Open would have had from the host.
func (a *approle) config() Config {
	c := a.l.config()
	c.Token = sdk.Secret{}
	c.RoleIDFile, c.SecretIDFile, c.AuthMount = a.roleFile, a.secretFile, a.mount
	return c
}

// config logs in as root.
func (l *lab) config() Config {
	return Config{
		Addr: l.s.Addr, CACert: l.s.CAFile, Token: sdk.NewSecret(l.s.RootToken),
		Path: "secret/data/dgraph", Field: "enc_key", Format: "base64", TransitMount: "transit",
	}
}

func (l *lab) withKV(c Config, path string) Config {
	c.Path = path
	return c
}

func (l *lab) withTransit(c Config, mount, key string) Config {
	c.TransitMount, c.TransitKey = mount, key
	return c
}

// token makes a token, with further settings in pairs.
func (l *lab) token(policy string, settings ...any) string {
	l.t.Helper()
	data := map[string]any{"policies": []string{policy}, "no_parent": true}
	for i := 0; i < len(settings); i += 2 {
		data[settings[i].(string)] = settings[i+1]
	}
	return l.put("auth/token/create", data).Auth.ClientToken
}

// proxy is a proxy in front of the Vault, and counts what is asked for.
func (l *lab) proxy() (*servers.Fault, *tally) {
	l.t.Helper()
	f := servers.Proxy(l.t, strings.TrimPrefix(l.s.Addr, "http://"))
	seen := &tally{n: map[string]int{}}
	f.Do(seen.count)
	return f, seen
}

// A tally counts requests by their path.
type tally struct {
	mu     sync.Mutex
	n      map[string]int
	header http.Header // of the last
}

func (s *tally) count(r *http.Request) servers.Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[r.URL.Path]++
	s.header = r.Header.Clone()
	return servers.Action{}
}

func (s *tally) of(suffix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for path, k := range s.n {
		if strings.HasSuffix(path, suffix) {
			n += k
		}
	}
	return n
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustOpen opens a provider that is closed with the test.
func mustOpen(t *testing.T, cfg Config) provider {
	t.Helper()
	p, err := open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v (hint: %s)", err, sdk.Hint(err))
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// openImpatient is open with little patience for a Vault that is away.
func openImpatient(t *testing.T, cfg Config, patience time.Duration) (provider, error) {
	t.Helper()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	v, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	v.patience = patience
	p, err := v.open(t.Context())
	if err != nil {
		v.close(t.Context())
		return nil, err
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, nil
}

// refused wants an error of a kind, with parts in its text and its hint.
func refused(t *testing.T, what string, err, kind error, text, hint string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) || !strings.Contains(sdk.Hint(err), hint) {
		t.Errorf("%s: %v (hint %q), want kind %q, text %q, hint %q", what, err, sdk.Hint(err), kind, text, hint)
	}
}

func roundTrip(t *testing.T, p sdk.KeyProvider) sdk.WrappedKey {
	t.Helper()
	key := random(32)
	w, err := p.Wrap(t.Context(), key)
	if err != nil {
		t.Fatalf("Wrap: %v (hint: %s)", err, sdk.Hint(err))
	}
	got, err := p.Unwrap(t.Context(), w)
	if err != nil || string(got) != string(key) {
		t.Fatalf("Unwrap: equal %v, %v", string(got) == string(key), err)
	}
	return w
}
