//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exported(t *testing.T, p provider) []byte {
	t.Helper()
	e, ok := p.(sdk.KeyExporter)
	if !ok {
		t.Fatalf("%T exports no key", p)
	}
	key, err := e.ExportKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

// Both versions of the store are found out, and both spellings of a path: with the rights to that one secret alone.
func TestPathsOfBothVersions(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	one, two, deep := l.mount("kv-1"), l.mount("kv-2"), l.mountAt(l.name+"/deep/er", "kv-2")
	key := random(32)
	l.put(one+"/a/dgraph", map[string]any{"enc_key": b64(key)})
	l.put(one+"/data/dgraph", map[string]any{"enc_key": b64(key)})
	l.write(two+"/data/a/dgraph", key)
	l.write(deep+"/data/data/dgraph", key)
	l.write(deep+"/data/dgraph", key)
	for _, c := range []struct {
		path      string
		kvVersion int
		rule      string
		version   string
	}{
		{one + "/a/dgraph", 0, one + "/a/dgraph", ""},
		{one + "/a/dgraph", 1, one + "/a/dgraph", ""},
		{"/" + one + "/a/dgraph/", 0, one + "/a/dgraph", ""},
		{one + "/data/dgraph", 0, one + "/data/dgraph", ""},
		{two + "/data/a/dgraph", 0, two + "/data/a/dgraph", "1"},
		{two + "/data/a/dgraph", 2, two + "/data/a/dgraph", "1"},
		{two + "/a/dgraph", 0, two + "/data/a/dgraph", "1"},
		{two + "/a/dgraph", 2, two + "/data/a/dgraph", "1"},
		{deep + "/data/data/dgraph", 0, deep + "/data/data/dgraph", "1"},
		{deep + "/dgraph", 0, deep + "/data/dgraph", "1"},
	} {
		for name, rule := range map[string]string{"least": c.rule + ": read", "all": "*: read, list"} {
			cfg := l.withKV(l.config(), c.path)
			cfg.KVVersion = c.kvVersion
			cfg.Token = sdk.NewSecret(l.token(l.policy(rule)))
			p := mustOpen(t, cfg)
			if !bytes.Equal(exported(t, p), key) {
				t.Errorf("%s with %s rights: another key", c.path, name)
			}
			if w := roundTrip(t, p); w.KeyVersion != c.version {
				t.Errorf("%s: key version %q, want %q", c.path, w.KeyVersion, c.version)
			}
			st, err := p.KeyStatus(t.Context())
			if err != nil || st.KeyVersion != c.version || !strings.Contains(st.Detail, "field enc_key") {
				t.Errorf("%s: KeyStatus = %+v, %v", c.path, st, err)
			}
		}
	}
}

func TestPathsWithoutKey(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	one, two := l.mount("kv-1"), l.mount("kv-2")
	l.put(one+"/dgraph", map[string]any{"enc_key": b64(random(32))})
	l.write(two+"/data/dir/dgraph", random(32))
	l.write(two+"/data/del", random(32))
	l.write(two+"/data/del", random(32))
	l.delete(two + "/data/del")
	l.write(two+"/data/gone", random(32))
	l.put(two+"/destroy/gone", map[string]any{"versions": []int{1}})
	l.put(two+"/data/fields", map[string]any{"data": map[string]any{"Enc_Key": "x", "other": "value", "n": 7, "o": map[string]any{"enc_key": "x"}}})
	all, some := l.policy("*: read, list"), l.policy(two+"/data/other: read")
	for _, c := range []struct {
		path, policy string
		set          func(*Config)
		kind         error
		text, hint   string
	}{
		{two + "/data/nope", all, nil, sdk.ErrNotExist, "not found (HTTP 404)", "nothing was ever written"},
		{two + "/nope", all, nil, sdk.ErrNotExist, two + "/data/nope", "nothing was ever written"},
		{one + "/nope", all, nil, sdk.ErrNotExist, "not found (HTTP 404)", "nothing was ever written"},
		{one + "/data/dgraph", all, nil, sdk.ErrNotExist, "not found", "version 1, where paths have no data/: write path " + one + "/dgraph"},
		{two + "/data/dir", all, nil, sdk.ErrNotExist, "it is a folder", "which secret of that folder"},
		{two + "/dir", all, nil, sdk.ErrNotExist, "it is a folder", "which secret of that folder"},
		{two, all, nil, sdk.ErrNotExist, "it is a folder", "which secret of that folder"},
		{"no-such-mount/data/dgraph", all, nil, sdk.ErrNotExist, "no handler for route", "no secrets engine is mounted"},
		{two + "/data/del", all, nil, sdk.ErrNotExist, "version 2 was deleted at 20", "vault kv undelete -versions=2"},
		{two + "/del", all, nil, sdk.ErrNotExist, "version 2 was deleted at 20", "vault kv undelete -versions=2"},
		{two + "/data/gone", all, nil, sdk.ErrNotExist, "version 1 was destroyed", "cannot be brought back"},
		{two + "/data/dir/dgraph", some, nil, sdk.ErrPermission, "permission denied (HTTP 403)", two + `/data/dir/dgraph" { capabilities = ["read"] }`},
		{two + "/dir/dgraph", some, nil, sdk.ErrPermission, "permission denied (HTTP 403)", two + `/data/dir/dgraph" { capabilities = ["read"] }`},
		{two + "/data/fields", all, nil, sdk.ErrNotExist, "field enc_key of " + two + "/data/fields: there is no such field", "the secret has: Enc_Key, n, o, other; name one"},
		{two + "/data/fields", all, func(c *Config) { c.Field = "n" }, sdk.ErrInvalid, "it is no string", ""},
		{two + "/data/fields", all, func(c *Config) { c.Field = "o" }, sdk.ErrInvalid, "it is no string", ""},
		{one + "/dgraph", all, func(c *Config) { c.KVVersion = 2 }, sdk.ErrInvalid, "no secret of a KV store of version 2", "leave kv_version out"},
		{one + "/dgraph", all, func(c *Config) { c.Version = 1 }, sdk.ErrInvalid, "keeps no versions", ""},
		{two + "/data/dir/dgraph", all, func(c *Config) { c.Version = 9 }, sdk.ErrNotExist, "read version 9", ""},
		{two + "/dir/dgraph", all, func(c *Config) { c.KVVersion = 1 }, sdk.ErrNotExist, "not found", ""},
	} {
		cfg := l.withKV(l.config(), c.path)
		cfg.Token = sdk.NewSecret(l.token(c.policy))
		if c.set != nil {
			c.set(&cfg)
		}
		_, err := open(t.Context(), cfg)
		refused(t, c.path, err, c.kind, c.text, c.hint)
		if err != nil && strings.Contains(err.Error()+sdk.Hint(err), "value") {
			t.Errorf("%s: %v shows a value", c.path, err)
		}
	}
}

// The length of a key is told, and never its value.
func TestKeysOfEveryLength(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	store := l.mount("kv-1")
	text := "canary7890123456789012345678901234567890123456789012345678901234"
	for _, c := range []struct {
		value, format string
		key           string // "" if it is refused
		text, hint    string
	}{
		{b64([]byte(text[:16])), "base64", text[:16], "", ""},
		{b64([]byte(text[:24])), "base64", text[:24], "", ""},
		{b64([]byte(text[:32])), "base64", text[:32], "", ""},
		{b64([]byte(text[:32])) + "\n", "base64", text[:32], "", ""},
		{text[:16], "raw", text[:16], "", ""},
		{text[:24], "raw", text[:24], "", ""},
		{text[:31] + `"`, "raw", text[:31] + `"`, "", ""},
		{text[:14] + "é", "raw", text[:14] + "é", "", ""},
		{b64([]byte(text[:64])), "base64", "", "a key of 64 bytes, want 16, 24 or 32", "Dgraph takes a key of 64 bytes at first"},
		{text[:64], "raw", "", "a key of 64 bytes", "Dgraph takes a key of 64 bytes at first"},
		{b64([]byte(text[:31])), "base64", "", "a key of 31 bytes", ""},
		{text[:15], "raw", "", "a key of 15 bytes", ""},
		{"c", "raw", "", "a key of 1 byte,", ""},
		{"", "raw", "", "a key of 0 bytes", ""},
		{"", "base64", "", "a key of 0 bytes", ""},
		{text[:32] + "\n", "raw", "", "a key of 33 bytes", "ends in a newline"},
		{b64([]byte(text[:32] + "\n")), "base64", "", "a key of 33 bytes", "ends in a newline"},
		{b64([]byte(text[:32])), "raw", "", "a key of 44 bytes", "set format to base64"},
		{"canary!8901234567890123456789012", "base64", "", "has 32 characters, which are not base64", "set format to raw"},
		{text[:32], "base64", string(unb64(t, text[:32])), "", ""}, // a good key of 24 bytes: nobody can know better
		{"canary! no key at all", "base64", "", "has 21 characters, which are not base64", ""},
	} {
		l.put(store+"/dgraph", map[string]any{"enc_key": c.value})
		cfg := l.withKV(l.config(), store+"/dgraph")
		cfg.Format = c.format
		p, err := open(t.Context(), cfg)
		if c.key != "" {
			if err != nil || string(exported(t, p)) != c.key {
				t.Errorf("%q as %s: %v", c.value, c.format, err)
				continue
			}
			p.Close()
			continue
		}
		refused(t, c.value+" as "+c.format, err, sdk.ErrInvalid, c.text, c.hint)
		if err != nil && (strings.Contains(err.Error()+sdk.Hint(err), "canary") || strings.Contains(err.Error(), b64([]byte("canary")))) {
			t.Errorf("%v shows the value", err)
		}
	}
}

// A new version of the secret is another key; what the one before has wrapped can still be read.
func TestSecretIsWrittenAnew(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	keys := [][]byte{random(32), random(16)}
	path := l.kv2(keys[0])
	cfg := l.withKV(l.config(), path)
	cfg.Token = sdk.NewSecret(l.token(l.policy(leastKV(path)...)))
	before := mustOpen(t, cfg)
	old := roundTrip(t, before)

	l.write(path, keys[1])
	st, err := before.KeyStatus(t.Context())
	if err != nil || st.KeyID != old.KeyID || st.KeyVersion != "1" || !strings.Contains(st.Detail, "version 2 has been written since") {
		t.Errorf("KeyStatus of who opened before: %+v, %v", st, err)
	}
	after := mustOpen(t, cfg)
	young := roundTrip(t, after)
	if young.KeyID == old.KeyID || young.KeyVersion != "2" {
		t.Errorf("wrapped by %s version %s after %s version %s", young.KeyID, young.KeyVersion, old.KeyID, old.KeyVersion)
	}
	dataKey, err := after.Unwrap(t.Context(), old)
	if err != nil {
		t.Fatalf("Unwrap with the version before: %v", err)
	}
	rewrapped, err := after.Rewrap(t.Context(), old)
	if err != nil || rewrapped.KeyID != young.KeyID || rewrapped.KeyVersion != "2" {
		t.Errorf("Rewrap: %s version %s, %v", rewrapped.KeyID, rewrapped.KeyVersion, err)
	}
	if again, err := after.Unwrap(t.Context(), rewrapped); err != nil || !bytes.Equal(again, dataKey) {
		t.Errorf("Unwrap after Rewrap: %v", err)
	}

	pinned := cfg
	pinned.Version = 1
	if p := mustOpen(t, pinned); !bytes.Equal(exported(t, p), keys[0]) {
		t.Error("version 1 is another key")
	}

	noVersion := old
	noVersion.KeyVersion = ""
	_, err = after.Unwrap(t.Context(), noVersion)
	refused(t, "no version is known", err, sdk.ErrWrongKey, "was wrapped by \""+old.KeyID+"\", and version 2 of "+path+" holds", "")
	wrongVersion := sdk.WrappedKey{KeyID: "vaultkeys/0000000000000000", KeyVersion: "1", Ciphertext: old.Ciphertext}
	_, err = after.Unwrap(t.Context(), wrongVersion)
	refused(t, "another key", err, sdk.ErrWrongKey, "was wrapped by", "")

	l.put(strings.Replace(path, "/data/", "/delete/", 1), map[string]any{"versions": []int{1}})
	_, err = after.Unwrap(t.Context(), old)
	refused(t, "deleted", err, sdk.ErrWrongKey, "version 1 was deleted at", "vault kv undelete -versions=1")
	if errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("deleted: %v is also of the kind absent", err)
	}
	l.put(strings.Replace(path, "/data/", "/destroy/", 1), map[string]any{"versions": []int{1}})
	_, err = after.Unwrap(t.Context(), old)
	refused(t, "destroyed", err, sdk.ErrWrongKey, "version 1 was destroyed", "")
	roundTrip(t, after)
}

// What is in a backup must be readable for ever.
func TestUnwrapOldBackup(t *testing.T) {
	w, err := newWrapper([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	const (
		id      = "vaultkeys/2858b459ad5ac812"
		wrapped = "0125d4d8991e70aeeee2767b00207ef6e9e919062d050b6788adec5bb1e09431a48837e51e5535a65d527ddb1823d05f57e8c7ae173d8d03193816f249"
		want    = "data key of a backup of long ago"
	)
	ciphertext, err := hex.DecodeString(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if w.id != id {
		t.Errorf("id %s, want %s", w.id, id)
	}
	key, err := w.unwrap(ciphertext)
	if string(key) != want || err != nil {
		t.Errorf("unwrap = %q, %v; want %q", key, err, want)
	}
}

func TestClosedProviderHasNoKey(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	p := mustOpen(t, l.withKV(l.config(), l.kv2(random(32)))).(*kv)
	w := roundTrip(t, p)
	key := p.key
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(key, make([]byte, 32)) {
		t.Error("the key is still in memory")
	}
	_, wrapErr := p.Wrap(t.Context(), random(32))
	_, unwrapErr := p.Unwrap(t.Context(), w)
	_, exportErr := p.ExportKey(t.Context())
	_, statusErr := p.KeyStatus(t.Context())
	_, _, generateErr := p.GenerateDataKey(t.Context())
	_, rewrapErr := p.Rewrap(t.Context(), w)
	for name, err := range map[string]error{
		"Wrap": wrapErr, "Unwrap": unwrapErr, "ExportKey": exportErr, "KeyStatus": statusErr, "GenerateDataKey": generateErr, "Rewrap": rewrapErr,
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}
