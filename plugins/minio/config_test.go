package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// Keys are taken from the environment, under both pairs of names.
func TestEnvironment(t *testing.T) {
	s := servers.MinIO(t)
	for _, names := range [][2]string{{"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"}, {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}} {
		p := sdktest.Start(t, names[0]+"="+s.AccessKey, names[1]+"="+s.SecretKey)
		d, err := p.OpenDestination(t.Context(), map[string]any{"uri": newAdmin(t, s).bucket(), "secure": "false"})
		if err != nil {
			t.Fatal(err)
		}
		use(t, d)
	}
}

// A certificate authority of one's own may be named in three ways.
func TestAuthorities(t *testing.T) {
	s := servers.MinIOTLS(t)
	place := newAdmin(t, s).bucket()
	for i, c := range []struct{ env, setting string }{{env: "SSL_CERT_FILE=" + s.CAFile}, {env: "AWS_CA_BUNDLE=" + s.CAFile}, {setting: s.CAFile}, {}} {
		p := sdktest.Start(t, "MINIO_ACCESS_KEY="+s.AccessKey, "MINIO_SECRET_KEY="+s.SecretKey, c.env)
		settings := map[string]any{"uri": fmt.Sprintf("%s/%d", place, i)}
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
	d, err := p.OpenDestination(t.Context(), map[string]any{"uri": strings.Replace(newAdmin(t, s).bucket(), s.Endpoint, "minio.invalid:9000", 1), "secure": "false"})
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
	key, secret, token := "CANARYKEY", "canary-secret", "canary-token"
	p := sdktest.Start(t)
	d, err := p.OpenDestination(t.Context(), map[string]any{
		"uri": newAdmin(t, s).bucket(), "secure": "false", "trace": "true", "accessKey": key, "secretKey": secret, "sessionToken": token,
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
	if !regexp.MustCompile(`"took":"[0-9.]+m?s"`).MatchString(log) {
		t.Errorf("trace=true does not say for people how long requests took: %s", log)
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

// use stores an object and reads it.
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
