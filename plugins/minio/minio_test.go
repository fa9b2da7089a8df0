package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

// bucket makes one by another client than ours, and removes it after the test.
func bucket(t *testing.T, s servers.S3) string {
	t.Helper()
	name := "brock-" + strings.ToLower(rand.Text())
	mc(t, s, "mb", "s/"+name)
	t.Cleanup(func() { mc(t, s, "rb", "--force", "s/"+name) })
	return name
}

func mc(t *testing.T, s servers.S3, args ...string) {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(s.AccessKey, s.SecretKey)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), servers.MC(t), append([]string{"--insecure"}, args...)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "MC_HOST_s=" + u.String()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mc %q: %v: %s", args, err, out)
	}
}

func use(t *testing.T, d sdk.Destination) {
	t.Helper()
	if err := d.Put(t.Context(), "object", strings.NewReader("content")); err != nil {
		t.Fatalf("Put: %v, hint %q", err, sdk.Hint(err))
	}
	r, err := d.Get(t.Context(), "object", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
}

// Keys are taken from the environment, under both pairs of names.
func TestEnvironment(t *testing.T) {
	s := servers.MinIO(t)
	for _, names := range [][2]string{{"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"}, {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}} {
		p := sdktest.Start(t, names[0]+"="+s.AccessKey, names[1]+"="+s.SecretKey)
		d, err := p.OpenDestination(t.Context(), map[string]any{"uri": "minio://" + s.Endpoint + "/" + bucket(t, s) + "/prefix", "secure": "false"})
		if err != nil {
			t.Fatal(err)
		}
		use(t, d)
	}
}

// A certificate authority of one's own may be named in three ways.
func TestAuthorities(t *testing.T) {
	s := servers.MinIOTLS(t)
	name := bucket(t, s)
	for i, c := range []struct{ env, setting string }{{env: "SSL_CERT_FILE=" + s.CAFile}, {env: "AWS_CA_BUNDLE=" + s.CAFile}, {setting: s.CAFile}, {}} {
		p := sdktest.Start(t, "MINIO_ACCESS_KEY="+s.AccessKey, "MINIO_SECRET_KEY="+s.SecretKey, c.env)
		settings := map[string]any{"uri": fmt.Sprintf("minio://%s/%s/%d", s.Endpoint, name, i)}
		if c.setting != "" {
			settings["ca_file"] = c.setting
		}
		d, err := p.OpenDestination(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		if c.env+c.setting != "" {
			use(t, d)
			continue
		}
		err = d.Put(t.Context(), "x", strings.NewReader("x"))
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(sdk.Hint(err), "ca_file") {
			t.Errorf("%v, hint %q", err, sdk.Hint(err))
		}
	}
}

// Proxies are those of the environment. This one alone knows the server's name.
func TestProxy(t *testing.T) {
	s := servers.MinIO(t)
	var asked atomic.Int32
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			asked.Add(1)
			r.Out.URL.Host = s.Endpoint
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	proxy := httptest.NewServer(forward)
	t.Cleanup(proxy.Close)
	p := sdktest.Start(t, "MINIO_ACCESS_KEY="+s.AccessKey, "MINIO_SECRET_KEY="+s.SecretKey, "HTTP_PROXY="+proxy.URL)
	d, err := p.OpenDestination(t.Context(), map[string]any{"uri": "minio://minio.invalid:9000/" + bucket(t, s), "secure": "false"})
	if err != nil {
		t.Fatal(err)
	}
	use(t, d)
	if asked.Load() == 0 {
		t.Error("the proxy was not asked")
	}
}

// No secret shows in what the plugin says, however much it is asked to say.
func TestSecretsStaySecret(t *testing.T) {
	s := servers.MinIO(t)
	name := bucket(t, s)
	key, secret, token := "CANARYKEY", "canary-secret", "canary-token"
	p := sdktest.Start(t)
	d, err := p.OpenDestination(t.Context(), map[string]any{
		"uri": "minio://" + s.Endpoint + "/" + name, "secure": "false", "trace": "true", "accessKey": key, "secretKey": secret, "sessionToken": token,
	})
	if err != nil {
		t.Fatal(err)
	}
	reporter, ok := d.(sdk.Reporter)
	var findings []sdk.Finding
	if ok {
		if findings, err = reporter.Report(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_, getErr := d.Get(t.Context(), "x", 0)
	said := fmt.Sprint(findings, getErr, sdk.Hint(getErr), d.Put(t.Context(), "x", strings.NewReader("x")), d.Delete(t.Context(), "x"))
	log := strings.Join(p.Stderr(), "\n")
	if !strings.Contains(log, "X-Amz-Date: ") || !strings.Contains(log, "Authorization: [secret]") {
		t.Errorf("trace=true shows no headers: %s", log)
	}
	said += log
	for _, canary := range []string{key, secret, token} {
		if strings.Contains(said, canary) {
			t.Errorf("%s is shown: %s", canary, said)
		}
	}
	if !errors.Is(getErr, sdk.ErrPermission) {
		t.Error(getErr)
	}
}

// settings are those of a place in a bucket of the server.
func settings(s servers.S3, bucket, id, secret string) map[string]any {
	return map[string]any{
		"uri": "minio://" + s.Endpoint + "/" + bucket + "/prefix", "secure": s.Secure, "ca_file": s.CAFile, "accessKey": id, "secretKey": secret,
	}
}

// readOnly is what a restore needs.
const readOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}`

func TestDestination(t *testing.T) {
	s := servers.MinIO(t)
	reader := strings.ToLower(rand.Text())
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(readOnly), 0o600); err != nil {
		t.Fatal(err)
	}
	mc(t, s, "admin", "user", "add", "s", reader, "reader-secret")
	mc(t, s, "admin", "policy", "create", "s", reader, policy)
	mc(t, s, "admin", "policy", "attach", "s", reader, "--user", reader)
	t.Cleanup(func() {
		mc(t, s, "admin", "user", "remove", "s", reader)
		mc(t, s, "admin", "policy", "remove", "s", reader)
	})
	full := bucket(t, s)
	mc(t, s, "quota", "set", "s/"+full, "--size", "8MiB")
	busy := servers.Proxy(t, s.Endpoint)
	busy.Answer(1, 1, servers.SlowDown)
	throttled := s
	throttled.Endpoint = busy.Addr
	sdktest.TestDestination(t, settings(s, bucket(t, s), s.AccessKey, s.SecretKey),
		sdktest.Denied(settings(s, bucket(t, s), s.AccessKey, "not the secret")),
		sdktest.ReadOnly(settings(s, bucket(t, s), reader, "reader-secret")),
		sdktest.Missing(settings(s, "brock-"+strings.ToLower(rand.Text()), s.AccessKey, s.SecretKey)),
		sdktest.Full(settings(s, full, s.AccessKey, s.SecretKey)),
		sdktest.Throttled(settings(throttled, bucket(t, s), s.AccessKey, s.SecretKey)),
	)
}
