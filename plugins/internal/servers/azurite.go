package servers

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// An Azure is a running blob service on loopback. Its addresses have the account in the path: http://host:port/account.
type Azure struct {
	Endpoint string // host:port
	Account  string
	Key      string // in base64
	Secure   bool   // speaks HTTPS
	CAFile   string // PEM of the authority that signed its certificate, if Secure
	PID      int
}

// URL returns the address of the account's blob service, with its scheme.
func (a Azure) URL() string { return scheme(a.Secure) + "://" + a.Endpoint + "/" + a.Account }

// Azurite returns the Azurite that speaks plain HTTP. It keeps blobs in memory and is slow: use small ones.
func Azurite(t testing.TB) Azure {
	t.Helper()
	return asAzure(running(t, azurite))
}

// AzuriteTLS returns a second Azurite, which speaks HTTPS with a certificate that only CAFile vouches for, and takes
// bearer tokens: it looks at their claims and not at their signature.
func AzuriteTLS(t testing.TB) Azure {
	t.Helper()
	return asAzure(running(t, azuriteTLS))
}

func asAzure(v vars, pid int) Azure {
	return Azure{
		Endpoint: v["AZURE_ENDPOINT"],
		Account:  v["AZURE_ACCOUNT"],
		Key:      v["AZURE_KEY"],
		Secure:   v["AZURE_SECURE"] == "true",
		CAFile:   v["AZURE_CA"],
		PID:      pid,
	}
}

// What npm installs is what the lock file says, with its checksums.
var (
	//go:embed azurite/package.json
	packageJSON []byte
	//go:embed azurite/package-lock.json
	packageLock []byte

	azuriteTool = tool{name: "azurite", version: "3.35.0", program: "node_modules/azurite/dist/src/blob/main.js", build: npm}

	azurite    = &server{"azurite", []tool{azuriteTool}, planAzurite(false)}
	azuriteTLS = &server{"azurite-tls", []tool{azuriteTool}, planAzurite(true)}
)

func npm(ctx context.Context, dir string) error {
	if err := node(ctx, dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), packageJSON, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "package-lock.json"), packageLock, 0o600); err != nil {
		return err
	}
	return command(ctx, dir, nil, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
}

// node sees to it that Node.js is there. On machines of CI, where nobody minds, it is installed from Debian.
func node(ctx context.Context, dir string) error {
	there := func() bool {
		_, noNode := exec.LookPath("node")
		_, noNPM := exec.LookPath("npm")
		return noNode == nil && noNPM == nil
	}
	if there() {
		return nil
	}
	if os.Getenv("CI") != "true" {
		return errors.New("node and npm are missing: install Node.js (on Debian: apt-get install nodejs npm)")
	}
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	install := []string{"install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"}
	if command(ctx, dir, env, "apt-get", install...) == nil && there() {
		return nil
	}
	if err := command(ctx, dir, env, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return command(ctx, dir, env, "apt-get", install...)
}

func planAzurite(secure bool) func(dir, program string) (plan, error) {
	return func(dir, program string) (plan, error) {
		ports, err := freePorts(1)
		if err != nil {
			return plan{}, err
		}
		js, err := exec.LookPath("node")
		if err != nil {
			return plan{}, err
		}
		key := make([]byte, 64)
		_, _ = rand.Read(key) // never fails
		a := Azure{
			Endpoint: "127.0.0.1:" + ports[0],
			Account:  "brocktests",
			Key:      base64.StdEncoding.EncodeToString(key),
			Secure:   secure,
		}
		args := []string{
			js, program, "--blobHost", "127.0.0.1", "--blobPort", ports[0], "--silent", "--disableTelemetry",
			"--inMemoryPersistence",
			"--skipApiVersionCheck", // clients are newer than it
		}
		if secure {
			a.CAFile = filepath.Join(dir, "ca.crt")
			cert, certKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			if err := certify(a.CAFile, cert, certKey); err != nil {
				return plan{}, err
			}
			args = append(args, "--cert", cert, "--key", certKey, "--oauth", "basic")
		}
		health := scheme(secure) + "://" + a.Endpoint + "/"
		return plan{
			dir:  dir,
			args: args,
			env:  []string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key},
			vars: vars{
				"AZURE_ENDPOINT": a.Endpoint,
				"AZURE_ACCOUNT":  a.Account,
				"AZURE_KEY":      a.Key,
				"AZURE_SECURE":   strconv.FormatBool(secure),
				"AZURE_CA":       a.CAFile,
				"URL":            a.URL(),
				"HEALTH":         health,
				"CA":             a.CAFile,
			},
			ready: func(ctx context.Context) error { return answers(ctx, health, a.CAFile) },
		}, nil
	}
}
