package servers

import (
	"testing"

	"github.com/hashicorp/vault/api"
)

func vaultClient(t *testing.T, v VaultServer) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = v.Addr
	if err := config.ConfigureTLS(&api.TLSConfig{CACert: v.CAFile}); err != nil {
		t.Fatal(err)
	}
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(v.RootToken)
	return c
}

func TestVaultHasItsEngines(t *testing.T) {
	for name, server := range map[string]func(testing.TB) VaultServer{"vault": Vault, "vault-tls": VaultTLS} {
		t.Run(name, func(t *testing.T) {
			c := vaultClient(t, server(t))
			for _, engine := range []string{"kv", "transit"} {
				path := "t-" + bucketName()
				if err := c.Sys().Mount(path, &api.MountInput{Type: engine}); err != nil {
					t.Errorf("%s: %v", engine, err)
					continue
				}
				if err := c.Sys().Unmount(path); err != nil {
					t.Error(err)
				}
			}
			path := "t-" + bucketName()
			if err := c.Sys().EnableAuthWithOptions(path, &api.EnableAuthOptions{Type: "approle"}); err != nil {
				t.Error(err)
			}
			if err := c.Sys().DisableAuth(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOwnVaultKeepsItsPlaceAndData(t *testing.T) {
	o := OwnVault(t)
	c := vaultClient(t, o.Vault)
	c.SetMaxRetries(0)
	if err := c.Sys().Mount("kv", &api.MountInput{Type: "kv"}); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(){"stop": o.Stop, "kill": o.Kill} {
		if _, err := c.Logical().Write("kv/"+name, map[string]any{"a": "b"}); err != nil {
			t.Fatal(err)
		}
		end()
		if _, err := c.Logical().Read("kv/" + name); err == nil {
			t.Errorf("answers after %s", name)
		}
		o.Start()
		if got, err := c.Logical().Read("kv/" + name); err != nil || got == nil || got.Data["a"] != "b" {
			t.Errorf("after %s: %v, %v", name, got, err)
		}
	}
	if err := c.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	if st, err := c.Sys().Unseal(o.Vault.UnsealKey); err != nil || st.Sealed {
		t.Errorf("its key does not unseal it: %+v, %v", st, err)
	}
}
