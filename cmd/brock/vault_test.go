package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestVaultScripts runs testdata/vault with a real Vault, in which it has engines of
// its own: $KV is one of key and value pairs in version 2, with the keys of the fixtures; $TRANSIT has a
// key named brock. The files role and secret log in; $VAULT_TOKEN may do anything.
func TestVaultScripts(t *testing.T) {
	v := vault{t, serverEnv(t, "vault")}
	id := strings.ToLower(rand.Text()[:8])
	kv, transit, role := "kv-"+id, "transit-"+id, "brock-"+id
	v.call("POST", "sys/mounts/"+kv, map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	v.call("POST", "sys/mounts/"+transit, map[string]any{"type": "transit"})
	t.Cleanup(func() {
		v.call("DELETE", "sys/mounts/"+kv, nil)
		v.call("DELETE", "sys/mounts/"+transit, nil)
	})
	v.call("POST", transit+"/keys/brock", nil)
	for _, fixture := range []string{"v25-encrypted-32", "v20.11-encrypted-24"} {
		key, err := os.ReadFile(filepath.Join("../../host/testdata/fixtures", fixture, "key"))
		if err != nil {
			t.Fatal(err)
		}
		v.call("POST", kv+"/data/"+fixture, map[string]any{"data": map[string]any{"enc_key": string(key)}})
	}
	if !bytes.Contains(v.call("GET", "sys/auth", nil), []byte(`"approle/"`)) {
		v.call("POST", "sys/auth/approle", map[string]any{"type": "approle"})
	}
	// The least that a backup needs.
	v.call("PUT", "sys/policies/acl/"+role, map[string]any{"policy": `
		path "` + kv + `/data/*" { capabilities = ["read"] }
		path "` + transit + `/keys/brock" { capabilities = ["read"] }
		path "` + transit + `/encrypt/brock" { capabilities = ["update"] }
		path "` + transit + `/decrypt/brock" { capabilities = ["update"] }
		path "` + transit + `/rewrap/brock" { capabilities = ["update"] }
		path "` + transit + `/datakey/plaintext/brock" { capabilities = ["update"] }
	`})
	v.call("POST", "auth/approle/role/"+role, map[string]any{"token_policies": role, "token_ttl": "1h"})
	t.Cleanup(func() {
		v.call("DELETE", "auth/approle/role/"+role, nil)
		v.call("DELETE", "sys/policies/acl/"+role, nil)
	})
	logins := t.TempDir()
	for file, answer := range map[string][]byte{
		"role_id":   v.call("GET", "auth/approle/role/"+role+"/role-id", nil),
		"secret_id": v.call("POST", "auth/approle/role/"+role+"/secret-id", nil),
	} {
		var res struct{ Data map[string]any }
		if err := json.Unmarshal(answer, &res); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(logins, file), []byte(res.Data[file].(string)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, scripts(t, "testdata/vault", map[string]string{
		"ADDR": v.env["VAULT_ADDR"], "ROOT": v.env["VAULT_TOKEN"], "KV": kv, "TRANSIT": transit, "LOGIN": logins,
	}))
}

// A vault is a Vault that make servers has started.
type vault struct {
	t   *testing.T
	env map[string]string
}

// call asks it for something, as root.
func (v vault) call(method, path string, body any) []byte {
	v.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequest(method, v.env["VAULT_ADDR"]+"/v1/"+path, bytes.NewReader(data))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", v.env["VAULT_TOKEN"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		v.t.Fatalf("%s %s: %s %s, %v", method, path, res.Status, answer, err)
	}
	return answer
}
