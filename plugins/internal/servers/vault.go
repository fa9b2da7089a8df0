package servers

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A VaultServer is a running HashiCorp Vault on loopback, with no secrets engine or login but those that every Vault
// has.
type VaultServer struct {
	Addr      string // a URL
	RootToken string
	UnsealKey string // the only one, for tests that seal it
	CAFile    string // PEM of the authority that signed its certificate; "" over plain HTTP
	Binary    string // the program, which is the vault command as well
	PID       int
}

// Vault returns the Vault that speaks plain HTTP. It can log in by approle, cert, jwt and userpass, and has the
// secrets engines kv, pki, ssh and transit.
func Vault(t testing.TB) VaultServer {
	t.Helper()
	return asVault(running(t, vault))
}

// VaultTLS returns a second Vault, which speaks HTTPS with a certificate that only CAFile vouches for.
func VaultTLS(t testing.TB) VaultServer {
	t.Helper()
	return asVault(running(t, vaultTLS))
}

func asVault(v vars, pid int) VaultServer {
	return VaultServer{
		Addr:      v["VAULT_ADDR"],
		RootToken: v["VAULT_TOKEN"],
		UnsealKey: v["VAULT_UNSEAL_KEY"],
		CAFile:    v["VAULT_CACERT"],
		Binary:    v["BINARY"],
		PID:       pid,
	}
}

var (
	vaultTool = tool{name: "vault", version: "1.21.4", program: "vault", build: buildVault}

	vault    = &server{"vault", []tool{vaultTool}, planVault(false)}
	vaultTLS = &server{"vault-tls", []tool{vaultTool}, planVault(true)}
)

// The versions of everything that Vault is built from, under names that do not make this folder a module.
var (
	//go:embed vault/vault.mod
	vaultMod []byte
	//go:embed vault/vault.sum
	vaultSum []byte
)

const (
	vaultSDK    = "github.com/hashicorp/vault/sdk@v0.21.0"
	vaultSDKSum = "h1:3gDqdKLhHY2ekmCEE9EeesoNpgsReq2bo/SpMqvBYdw="
)

// vaultEdits are the two signatures in which the sdk in Vault's own repository, which its module does not bring along,
// differs from the released one.
var vaultEdits = []struct {
	file string
	old  *regexp.Regexp
	new  string
}{
	{
		"framework/backend.go",
		regexp.MustCompile(`(ActivationFunc +func\(context\.Context, \*logical\.Request), string\) error`),
		"$1) error",
	},
	{
		"helper/keysutil/lock_manager.go",
		regexp.MustCompile(`(?m)^func \(lm \*LockManager\) RestorePolicy\((.*)\) error \{$`),
		"func (lm *LockManager) RestorePolicy($1) (string, error) {\n" +
			"\treturn name, lm.restorePolicy(ctx, storage, name, backup, force)\n}\n\n" +
			"func (lm *LockManager) restorePolicy($1) error {",
	},
}

// buildVault builds the server with the tag minimal, which leaves out the engines of clouds and databases. Vault's
// license (BUSL) is fine with tests; nothing of ours ships it.
func buildVault(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp("", "brock-vault-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", vaultSDK)
	cmd.Dir, cmd.Env, cmd.Stderr = work, append(os.Environ(), "GOFLAGS=", "GOWORK=off"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", vaultSDK, err)
	}
	var sdk struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &sdk); err != nil {
		return err
	}
	if sdk.Sum != vaultSDKSum {
		return fmt.Errorf("%s has the checksum %s, not %s", vaultSDK, sdk.Sum, vaultSDKSum)
	}
	if err := os.CopyFS(filepath.Join(work, "sdk"), os.DirFS(sdk.Dir)); err != nil {
		return err
	}
	for _, e := range vaultEdits {
		file := filepath.Join(work, "sdk", e.file)
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		edited := e.old.ReplaceAll(src, []byte(e.new))
		if bytes.Equal(edited, src) {
			return fmt.Errorf("%s: nothing matches %s", e.file, e.old)
		}
		if err := os.WriteFile(file, edited, 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(work, "go.mod"), vaultMod, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "go.sum"), vaultSum, 0o600); err != nil {
		return err
	}
	return command(ctx, work, []string{"GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0"},
		"go", "build", "-tags", "minimal", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", filepath.Join(dir, "vault"), "github.com/hashicorp/vault")
}

// planVault plans a Vault that keeps its data in files, so that one that is started again knows what it knew.
func planVault(secure bool) func(dir, program string) (plan, error) {
	return func(dir, program string) (plan, error) {
		ports, err := freePorts(2)
		if err != nil {
			return plan{}, err
		}
		var ca, listener string
		if secure {
			ca = filepath.Join(dir, "ca.crt")
			cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			if err := certify(ca, cert, key); err != nil {
				return plan{}, err
			}
			listener = fmt.Sprintf("tls_cert_file = %q\n  tls_key_file = %q", cert, key)
		} else {
			listener = "tls_disable = true"
		}
		data := filepath.Join(dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return plan{}, err
		}
		address := "127.0.0.1:" + ports[0]
		url := scheme(secure) + "://" + address
		config := filepath.Join(dir, "vault.hcl")
		if err := os.WriteFile(config, fmt.Appendf(nil, `storage "raft" {
  path = %q
  node_id = "only"
  performance_multiplier = 1
}
cluster_addr = "http://127.0.0.1:%s"
listener "tcp" {
  address = %q
  %s
}
api_addr = %q
disable_mlock = true
`, data, ports[1], address, listener, url), 0o600); err != nil {
			return plan{}, err
		}
		return plan{
			dir:  dir,
			args: []string{program, "server", "-config", config},
			env:  []string{"GOMEMLIMIT=512MiB"},
			vars: vars{
				"VAULT_ADDR":   url,
				"VAULT_CACERT": ca,
				"URL":          url,
				"HEALTH":       url + "/v1/sys/health?standbycode=503", // sealed is 503, too
				"CA":           ca,
			},
			ready: func(ctx context.Context) error { return answers(ctx, url+"/v1/sys/init", ca) },
			after: unseal,
		}, nil
	}
}

// unseal makes a Vault usable. A new one gets its root token and its key here.
func unseal(ctx context.Context, v vars) error {
	var state struct{ Initialized bool }
	if err := askVault(ctx, v, http.MethodGet, "sys/init", nil, &state); err != nil {
		return err
	}
	if !state.Initialized {
		var made struct {
			Keys  []string `json:"keys_base64"`
			Token string   `json:"root_token"`
		}
		shares := map[string]int{"secret_shares": 1, "secret_threshold": 1}
		if err := askVault(ctx, v, http.MethodPut, "sys/init", shares, &made); err != nil {
			return err
		}
		v["VAULT_TOKEN"], v["VAULT_UNSEAL_KEY"] = made.Token, strings.Join(made.Keys, ",")
	}
	key := map[string]string{"key": v["VAULT_UNSEAL_KEY"]}
	if err := askVault(ctx, v, http.MethodPut, "sys/unseal", key, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return poll(ctx, func(ctx context.Context) error { return answers(ctx, v["HEALTH"], v["CA"]) })
}

// askVault asks Vault for what needs no token.
func askVault(ctx context.Context, v vars, method, path string, body, result any) error {
	url := v["VAULT_ADDR"] + "/v1/" + path
	got, err := request(ctx, method, url, v["VAULT_CACERT"], body)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return fmt.Errorf("%s %s answers %d", method, url, got.status)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(got.body, result)
}
