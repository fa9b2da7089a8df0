//go:build unix

package main

import (
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// The kit's settings go over the wire, where a struct's secrets would be masked.
func settings(c Config) map[string]any {
	m := map[string]any{"addr": c.Addr, "path": c.Path, "auth_mount": c.AuthMount, "role_id_file": c.RoleIDFile, "secret_id_file": c.SecretIDFile}
	if c.TransitKey != "" {
		m["transit_key"], m["transit_mount"] = c.TransitKey, c.TransitMount
	}
	return m
}

func TestKeyProvider(t *testing.T) {
	t.Run("kv 1", func(t *testing.T) {
		l := newLab(t, servers.Vault(t))
		path := l.mount("kv-1")
		for _, name := range []string{"/a", "/b"} {
			l.put(path+name, map[string]any{"enc_key": b64(random(32))})
		}
		a := l.approle(l.policy(path + "/*: read"))
		sdktest.TestKeyProvider(t, settings(l.withKV(a.config(), path+"/a")), sdktest.Other(settings(l.withKV(a.config(), path+"/b"))))
	})
	t.Run("kv 2", func(t *testing.T) {
		l := newLab(t, servers.Vault(t))
		path, other := l.kv2(random(32)), l.kv2(random(16))
		a := l.approle(l.policy(append(leastKV(path), leastKV(other)...)...))
		sdktest.TestKeyProvider(t, settings(l.withKV(a.config(), path)), sdktest.Other(settings(l.withKV(a.config(), other))))
	})
	t.Run("transit", func(t *testing.T) {
		l := newLab(t, servers.Vault(t))
		mount, key := l.transit(nil)
		l.put(mount+"/keys/other", nil)
		a := l.approle(l.policy(append(leastTransit(mount, key), leastTransit(mount, "other")...)...))
		sdktest.TestKeyProvider(t, settings(l.withTransit(a.config(), mount, key)),
			sdktest.Other(settings(l.withTransit(a.config(), mount, "other"))))
	})
}
