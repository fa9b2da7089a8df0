//go:build unix

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// hunt looks for secrets, in every form that they have here, in what was said.
func hunt(t *testing.T, said string, secrets map[string]string) {
	t.Helper()
	for name, s := range secrets {
		if len(s) < 8 {
			t.Fatalf("%s is %q: too short to be looked for", name, s)
		}
		for form, text := range map[string]string{"as it is": s, "in base64": b64([]byte(s)), "in hexadecimal": hex.EncodeToString([]byte(s))} {
			if strings.Contains(said, text) {
				t.Errorf("%s is shown %s: %s", name, form, said)
			}
		}
	}
}

// What people do wrong most makes Vault, the files and the settings speak of ids, tokens and keys. The plugin is a
// process here, at its most talkative.
func TestSecretsAppearNowhere(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	key := []byte("canary-key-of-thirty-two-bytes-0")
	path := l.kv2(key)
	mount, name := l.transit(nil)
	policy := l.policy(append(leastKV(path), leastTransit(mount, name)...)...)
	a, once := l.approle(policy), l.approle(policy, "secret_id_num_uses", 1)
	mustOpen(t, l.withKV(once.config(), path)) // and now its secret id is used up
	l.put("sys/mounts/auth/"+a.mount+"/tune", map[string]any{"user_lockout_config": map[string]any{"lockout_disable": true}})
	token, jwtText := l.token("default"), "canary.jwt.of-nobody"
	secrets := map[string]string{"the role id": a.roleID, "a secret id": a.secretID, "a role id": once.roleID, "a used-up secret id": once.secretID, "a token": token, "a JWT": jwtText, "the key": string(key), "the root token": l.s.RootToken}

	plugin := sdktest.Start(t, "BROCK_PLUGIN_LOG_LEVEL=trace")
	var said strings.Builder
	say := func(what string, err error) {
		fmt.Fprintf(&said, "%s: %v\n%+v\n%#v\n%s\n", what, err, err, err, sdk.Hint(err))
		for ; err != nil; err = errors.Unwrap(err) {
			fmt.Fprintf(&said, "%v %+v\n", err, err)
		}
	}
	try := func(what string, set func(map[string]any)) sdk.KeyProvider {
		m := settings(l.withKV(a.config(), path))
		set(m)
		p, err := plugin.OpenKeyProvider(t.Context(), m)
		say(what, err)
		return p
	}
	good := try("good", func(map[string]any) {})
	w, err := good.Wrap(t.Context(), key)
	say("wrap", err)
	w.Ciphertext[5] ^= 1
	_, err = good.Unwrap(t.Context(), w)
	say("unwrap", err)
	_, err = good.Unwrap(t.Context(), sdk.WrappedKey{KeyID: "other", Ciphertext: key})
	say("unwrap", err)
	failing := map[string]func(m map[string]any){
		"used up": func(m map[string]any) {
			m["auth_mount"], m["role_id_file"], m["secret_id_file"] = once.mount, once.roleFile, once.secretFile
		},
		"raw":             func(m map[string]any) { m["format"] = "raw" },
		"no field":        func(m map[string]any) { m["field"] = "none" },
		"role as secret":  func(m map[string]any) { m["secret_id_file"] = a.roleFile },
		"secret as role":  func(m map[string]any) { m["role_id_file"] = a.secretFile },
		"token as secret": func(m map[string]any) { m["secret_id_file"] = file(t, token) },
		"weak token":      func(m map[string]any) { delete(m, "role_id_file"); m["auth_mount"] = ""; m["token"] = token },
		"odd token": func(m map[string]any) {
			delete(m, "role_id_file")
			m["auth_mount"] = ""
			m["token"] = token + " " + token
		},
		"bad token": func(m map[string]any) { delete(m, "role_id_file"); m["auth_mount"] = ""; m["token"] = token + "x" },
		"jwt": func(m map[string]any) {
			m["auth"], m["role"], m["jwt_file"] = "jwt", "backup", file(t, jwtText)
		},
		"addr with token": func(m map[string]any) { m["addr"] = "http://user:" + token + "@127.0.0.1:1" },
		"addr is token":   func(m map[string]any) { m["addr"] = token },
		"ca is token":     func(m map[string]any) { m["ca_cert"] = file(t, token) },
		"secret is no file": func(m map[string]any) {
			m["secret_id_file"] = t.TempDir()
		},
	}
	for what, set := range failing {
		if p := try(what, set); p != nil {
			t.Errorf("%s: open works", what)
		}
	}
	if p := try("transit", func(m map[string]any) { m["transit_mount"], m["transit_key"] = mount, name }); p != nil {
		w, err := p.Wrap(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: []byte("vault:v1:" + b64(key))})
		say("transit unwrap", err)
		_, err = p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: append([]byte("vault:v7:"), w.Ciphertext[9:]...)})
		say("transit unwrap", err)
	} else {
		t.Error("transit does not open")
	}
	_ = plugin.Close() // now it has said all
	text := said.String() + strings.Join(plugin.Stderr(), "\n")
	if !strings.Contains(text, "HTTP 400") || !strings.Contains(text, "want 16, 24 or 32") {
		t.Errorf("not much was said: %s", text)
	}
	hunt(t, text, secrets)
}

// Vault quotes what it does not understand; nothing here sends such a thing, so that the veil is tried by itself.
func TestVeil(t *testing.T) {
	var v veil
	v.hide(sdk.NewSecret("hvs.canary\"quoted"))
	v.hide(sdk.NewSecret(""))
	dataKey := []byte("canary data key")
	text := v.scrub(`expected "string", got 'map[hvs.canary"quoted:`+b64(dataKey)+`]', canary data key, hvs.canary\"quoted, `+b64([]byte(`hvs.canary"quoted`))+strings.Repeat("é", 400), dataKey)
	if strings.Contains(text, "canary") || strings.Contains(text, b64(dataKey)) || strings.Contains(text, b64([]byte("hvs.canary"))[:12]) {
		t.Errorf("shown: %s", text)
	}
	if len(text) > 310 || !strings.HasPrefix(text, `expected "string"`) {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	for i := range 100 {
		v.hide(sdk.NewSecret(fmt.Sprintf("secret %d", i)))
	}
	if len(v.secrets) > 16 {
		t.Errorf("%d secrets are kept", len(v.secrets))
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	base := Config{
		Addr: "http://127.0.0.1:1", Token: sdk.NewSecret("x"), Path: "secret/data/dgraph", Field: "enc_key", Format: "base64", TransitMount: "transit",
	}
	for name, c := range map[string]struct {
		set        func(*Config)
		text, hint string
	}{
		"no scheme":         {func(c *Config) { c.Addr = "127.0.0.1:8200" }, "addr is no http:// or https:// URL", "https://vault.example.com:8200"},
		"ftp":               {func(c *Config) { c.Addr = "ftp://127.0.0.1:8200" }, "addr is no http:// or https:// URL", ""},
		"password in addr":  {func(c *Config) { c.Addr = "http://u:canary@h" }, "addr holds a user name or a password", ""},
		"format":            {func(c *Config) { c.Format = "hex" }, `format is "hex", want base64 or raw`, ""},
		"kv version":        {func(c *Config) { c.KVVersion = 3 }, "kv_version is 3", ""},
		"version":           {func(c *Config) { c.Version = -1 }, "version is -1", ""},
		"path":              {func(c *Config) { c.Path = "//" }, "path and field are needed", ""},
		"field":             {func(c *Config) { c.Field = "" }, "path and field are needed", ""},
		"transit key":       {func(c *Config) { c.TransitKey = "../sys/seal" }, `transit_key "../sys/seal" is no name`, ""},
		"transit mount":     {func(c *Config) { c.TransitKey, c.TransitMount = "k", "/" }, "transit_mount is empty", ""},
		"client cert":       {func(c *Config) { c.ClientCert = "x" }, "needed together", ""},
		"no login":          {func(c *Config) { c.Token = sdk.Secret{} }, "no login", "role_id_file and secret_id_file for AppRole"},
		"unknown login":     {func(c *Config) { c.Auth = "ldap" }, `auth is "ldap", want approle`, ""},
		"approle":           {func(c *Config) { c.Auth = "approle" }, "the login approle needs role_id_file", ""},
		"token":             {func(c *Config) { c.Auth, c.Token = "token", sdk.Secret{} }, "the login token needs token or token_file", ""},
		"kubernetes":        {func(c *Config) { c.Auth = "kubernetes" }, "the login kubernetes needs role", ""},
		"jwt":               {func(c *Config) { c.Auth = "jwt" }, "the login jwt needs jwt_file", ""},
		"cert":              {func(c *Config) { c.Auth = "cert" }, "the login cert needs client_cert", ""},
		"role id missing":   {func(c *Config) { c.RoleIDFile = "/no/such/file" }, "role_id_file /no/such/file: no such file", "role_id_file"},
		"role id empty":     {func(c *Config) { c.RoleIDFile = file(t, "\n") }, "is empty", ""},
		"role id directory": {func(c *Config) { c.RoleIDFile = t.TempDir() }, "is no regular file", ""},
		"role id large":     {func(c *Config) { c.RoleIDFile = file(t, strings.Repeat("x", 65<<10)) }, "is too large", ""},
	} {
		cfg := base
		c.set(&cfg)
		_, err := openImpatient(t, cfg, time.Millisecond)
		refused(t, name, err, sdk.ErrInvalid, c.text, c.hint)
		if err != nil && strings.Contains(err.Error()+sdk.Hint(err), "canary") {
			t.Errorf("%s: %v shows a password", name, err)
		}
	}
}

// What the host is told at once: a misspelt setting, and what the log should say.
func TestPluginProcess(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	path := l.kv2(random(32))
	a := l.approle(l.policy(leastKV(path)...))
	plugin := sdktest.Start(t, "VAULT_ADDR="+l.s.Addr, "VAULT_SKIP_VERIFY=1")
	m := settings(l.withKV(a.config(), path))
	delete(m, "addr")
	if err := os.Chmod(a.secretFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.OpenKeyProvider(t.Context(), m); err != nil {
		t.Errorf("open with VAULT_ADDR: %v", err)
	}
	m["role_id"] = "x"
	_, err := plugin.OpenKeyProvider(t.Context(), m)
	refused(t, "misspelt", err, sdk.ErrInvalid, `unknown setting "role_id" (known: addr, role_id_file`, "")
	delete(m, "role_id")
	m["addr"], m["ca_cert"] = "https://127.0.0.1:1", filepath.Join(t.TempDir(), "none")
	_, err = plugin.OpenKeyProvider(t.Context(), m)
	refused(t, "no ca", err, sdk.ErrInvalid, "ca_cert", "")
	m["addr"] = "http://vault.example.com"
	_, err = plugin.OpenKeyProvider(t.Context(), m)
	refused(t, "plain text", err, sdk.ErrInvalid, "ca_cert", "")
	_ = plugin.Close()
	said := strings.Join(plugin.Stderr(), "\n")
	for _, want := range []string{
		"a file with a secret can be read or changed by other users", "0644",
		"VAULT_SKIP_VERIFY has no effect", "keys and tokens cross the network in plain text",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what it says: %s", want, said)
		}
	}
	d := plugin.Description()
	if strings.Join(d.Env, " ") != "VAULT_SKIP_VERIFY" {
		t.Errorf("env %v", d.Env)
	}
}
