package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

// The whole kit holds over plain HTTP, and with TLS and a certificate of our own
// authority.
func TestDestination(t *testing.T) {
	for name, server := range map[string]func(testing.TB) servers.S3{"http": servers.MinIO, "https": servers.MinIOTLS} {
		t.Run(name, func(t *testing.T) {
			a := newAdmin(t, server(t))
			place := a.bucket()
			throttled := a.settings(place)
			if !a.Secure {
				f := servers.Proxy(t, a.Endpoint)
				f.Answer(1, 1, servers.SlowDown)
				throttled["uri"] = strings.Replace(place, a.Endpoint, f.Addr, 1)
			}
			options := []sdktest.Option{
				sdktest.Denied(a.settingsOf(place, a.user(`[]`))),
				sdktest.ReadOnly(a.settingsOf(place, a.user(fmt.Sprintf(
					`[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::%[1]s","arn:aws:s3:::%[1]s/*"]}]`,
					bucketOf(place))))),
				sdktest.Missing(a.settings(strings.Replace(place, bucketOf(place), "brock-no-such-bucket", 1))),
				sdktest.Full(a.settings(a.small())),
			}
			if !a.Secure {
				options = append(options, sdktest.Throttled(throttled))
			}
			sdktest.TestDestination(t, a.settings(place), options...)
		})
	}
}

// An admin sets a MinIO up by its own client.
type admin struct {
	servers.S3
	t      *testing.T
	mc     string
	config string
}

func newAdmin(t *testing.T, s servers.S3) *admin {
	t.Helper()
	a := &admin{S3: s, t: t, mc: servers.MC(t), config: t.TempDir()}
	if s.CAFile != "" {
		dir := filepath.Join(a.config, "certs", "CAs")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(s.CAFile)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "ca.crt"), pem, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	a.run("alias", "set", "m", s.URL(), s.AccessKey, s.SecretKey)
	return a
}

// run calls mc in an environment of its own.
func (a *admin) run(args ...string) {
	a.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(a.t.Context()), a.mc, append([]string{"--config-dir", a.config, "--quiet"}, args...)...)
	cmd.Env = []string{"HOME=" + a.config}
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("mc %s: %v: %s", args[0], err, out)
	}
}

// bucket makes one and returns a location in it.
func (a *admin) bucket() string {
	a.t.Helper()
	name := "brock-" + strings.ToLower(rand.Text())
	a.run("mb", "m/"+name)
	a.t.Cleanup(func() { a.run("rb", "--force", "m/"+name) })
	return fmt.Sprintf("minio://%s/%s/kit", a.Endpoint, name)
}

// small is a location with room for some megabytes.
func (a *admin) small() string {
	a.t.Helper()
	place := a.bucket()
	a.run("quota", "set", "m/"+bucketOf(place), "--size", "8MiB")
	return place
}

func bucketOf(place string) string { return strings.Split(place, "/")[3] }

// user makes a user who may do what the statements say, and returns his keys.
func (a *admin) user(statements string) [2]string {
	a.t.Helper()
	key, secret := strings.ToLower(rand.Text()), rand.Text()
	a.run("admin", "user", "add", "m", key, secret)
	a.t.Cleanup(func() { a.run("admin", "user", "remove", "m", key) })
	if statements == "[]" {
		return [2]string{key, secret}
	}
	file := filepath.Join(a.config, key)
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":`+statements+`}`), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.run("admin", "policy", "create", "m", key, file)
	a.run("admin", "policy", "attach", "m", key, "--user", key)
	a.t.Cleanup(func() {
		a.run("admin", "policy", "detach", "m", key, "--user", key)
		a.run("admin", "policy", "remove", "m", key)
	})
	return [2]string{key, secret}
}

func (a *admin) settings(place string) map[string]any {
	return a.settingsOf(place, [2]string{a.AccessKey, a.SecretKey})
}

func (a *admin) settingsOf(place string, keys [2]string) map[string]any {
	m := map[string]any{"uri": place, "accessKey": keys[0], "secretKey": keys[1], "secure": a.Secure}
	if a.CAFile != "" {
		m["ca_file"] = a.CAFile
	}
	return m
}
