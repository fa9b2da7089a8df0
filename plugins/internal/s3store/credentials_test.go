package s3store

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	next := file + ".new" // as those do who rotate
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func keysFile(id, secret string) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
}

// Where there are several, the first in the promised order wins.
func TestOrderOfCredentials(t *testing.T) {
	bare(t)
	home := t.TempDir()
	write(t, home+"/.aws/credentials", "# of two people\n[default]\naws_access_key_id=FILE\naws_secret_access_key=s #not this\n"+
		"[ other ]\nAWS_ACCESS_KEY_ID = OTHER\naws_secret_access_key\t= s\naws_session_token = tok\ns3 =\n  aws_access_key_id = NESTED\n[half]\naws_access_key_id=H\n")
	write(t, home+"/.aws/config", "[profile conf]\naws_access_key_id=CONF\naws_secret_access_key=s\n[profile sso]\nsso_session=x\n[default]\nregion=x\n")
	both := func(id, secret string) func() {
		return func() { t.Setenv(id, id); t.Setenv(secret, "s") }
	}
	for _, c := range []struct {
		name, uri string
		env       func()
		cfg       func(*Config)
		id, from  string
	}{
		{"settings first", "s3:///bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), func(c *Config) { c.AccessKey, c.SecretKey = sdk.NewSecret("SET"), sdk.NewSecret("s") }, "SET", "settings accessKey"},
		{"environment next", "s3:///bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), nil, "AWS_ACCESS_KEY_ID", "environment variable AWS_ACCESS_KEY_ID"},
		{"older names", "s3:///bucket", both("AWS_ACCESS_KEY", "AWS_SECRET_KEY"), nil, "AWS_ACCESS_KEY", "environment variable AWS_ACCESS_KEY"},
		{"mixed names", "s3:///bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY"), nil, "AWS_ACCESS_KEY_ID", "environment variable AWS_ACCESS_KEY_ID"},
		{"then the file", "s3:///bucket", func() { t.Setenv("HOME", home) }, nil, "FILE", "file ~/.aws/credentials, profile default"},
		{"a file elsewhere", "s3:///bucket", func() { t.Setenv("AWS_SHARED_CREDENTIALS_FILE", home+"/.aws/credentials") }, nil, "FILE", home + "/.aws/credentials"},
		{"a profile by variable", "s3:///bucket", func() { t.Setenv("HOME", home); t.Setenv("AWS_PROFILE", "other") }, nil, "OTHER", "profile other"},
		{"a profile by setting", "s3:///bucket", func() { t.Setenv("HOME", home); both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")() }, func(c *Config) { c.Profile = "other" }, "OTHER", "profile other"},
		{"the other file", "s3:///bucket", func() { t.Setenv("HOME", home) }, func(c *Config) { c.Profile = "conf" }, "CONF", "file ~/.aws/config, profile conf"},
		{"as it is asked", "s3:///bucket", func() { t.Setenv("HOME", home); both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")() }, func(c *Config) { c.Credentials = "file, environment" }, "FILE", "file"},
		{"none if so set", "s3:///bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), func(c *Config) { c.Anonymous = true }, "", "anonymous"},
		{"none at all", "s3:///bucket", func() {}, nil, "", "none were found"},
		{"MinIO's own", "minio://h:1/bucket", func() {
			both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")()
			both("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")()
			both("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")()
		}, nil, "MINIO_ACCESS_KEY", "environment variable MINIO_ACCESS_KEY"},
		{"MinIO's root", "minio://h:1/bucket", both("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"), nil, "MINIO_ROOT_USER", "MINIO_ROOT_USER"},
		{"Amazon's are not for MinIO", "minio://h:1/bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), nil, "", "none were found"},
		{"Google's", "gs://bucket", func() {
			both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")()
			both("GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY")()
		}, nil, "GS_ACCESS_KEY_ID", "GS_ACCESS_KEY_ID"},
		{"Google's by Amazon's names", "gs://bucket", both("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), nil, "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bare(t)
			c.env()
			if c.cfg == nil {
				c.cfg = func(*Config) {}
			}
			got, err := newClient(t.Context(), c.uri, new(defaults(c.cfg)))
			if err != nil {
				t.Fatal(err)
			}
			value, err := got.keys.Retrieve()
			if err != nil || value.AccessKeyID != c.id || (c.id == "") != value.SignerType.IsAnonymous() {
				t.Errorf("access key %q, %v; want %q", value.AccessKeyID, err, c.id)
			}
			if c.id == "OTHER" && value.SessionToken != "tok" || c.id == "FILE" && value.SecretAccessKey != "s" {
				t.Errorf("secret %q, token %q", value.SecretAccessKey, value.SessionToken)
			}
			if f := got.facts()[0]; !strings.Contains(f.Detail, c.from) || strings.HasPrefix(c.from, "none were") != f.Problem {
				t.Errorf("%+v, want %q", f, c.from)
			}
		})
	}
	for name, c := range map[string]struct {
		env  func()
		cfg  func(*Config)
		want string
		kind error
	}{
		"half in the environment": {func() { t.Setenv("AWS_ACCESS_KEY_ID", "canary") }, nil, "AWS_SECRET_ACCESS_KEY is not", sdk.ErrInvalid},
		"half in the file":        {func() { t.Setenv("HOME", home) }, func(c *Config) { c.Profile = "half" }, "one is missing", sdk.ErrInvalid},
		"no such profile":         {func() { t.Setenv("HOME", home) }, func(c *Config) { c.Profile = "nobody" }, "nobody", sdk.ErrPermission},
		"a profile without keys":  {func() { t.Setenv("HOME", home) }, func(c *Config) { c.Profile = "sso" }, "sso_session", sdk.ErrInvalid},
		"no such file":            {func() { t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/x") }, nil, "/nowhere/x", sdk.ErrPermission},
		"no token file":           {func() { t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"); t.Setenv("AWS_ROLE_ARN", "r") }, nil, "/nowhere/token", nil},
		"no role":                 {func() { t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token") }, nil, "AWS_ROLE_ARN", sdk.ErrInvalid},
		"an agent elsewhere":      {func() { t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x") }, nil, "not on this machine", sdk.ErrInvalid},
		"a token in clear text": {func() {
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "x")
			t.Setenv("AWS_ENDPOINT_URL_STS", "http://192.0.2.1")
		}, nil, "clear text", sdk.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			c.env()
			if c.cfg == nil {
				c.cfg = func(*Config) {}
			}
			_, err := newClient(t.Context(), "s3:///bucket", new(defaults(c.cfg)))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) || strings.Contains(err.Error(), "canary") ||
				name == "no such profile" && strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%v, want something about %q, of kind %v", err, c.want, c.kind)
			}
		})
	}
}

// on opens a Store on a server, as a user would.
func on(t *testing.T, s servers.S3, bucket string, change ...func(*Config)) *Store {
	t.Helper()
	cfg := defaults(append([]func(*Config){func(c *Config) { c.Secure, c.CAFile = s.Secure, s.CAFile }}, change...)...)
	st, err := Open(t.Context(), "s3://"+s.Endpoint+"/"+bucket+"/prefix", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// keyed gives the keys of the server's root user.
func keyed(s servers.S3) func(*Config) {
	return func(c *Config) { c.AccessKey, c.SecretKey = sdk.NewSecret(s.AccessKey), sdk.NewSecret(s.SecretKey) }
}

// mc runs MinIO's own client as the root user.
func mc(t *testing.T, s servers.S3, args ...string) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(s.AccessKey, s.SecretKey)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), servers.MC(t), append([]string{"--insecure"}, args...)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "MC_HOST_s=" + u.String()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mc %q: %v: %s", args, err, out)
	}
	return string(out)
}

// user makes a user of the server's, who may do everything with every bucket.
func user(t *testing.T, s servers.S3) (id, secret string) {
	t.Helper()
	id, secret = strings.ToLower(rand.Text()), rand.Text()
	mc(t, s, "admin", "user", "add", "s", id, secret)
	t.Cleanup(func() { mc(t, s, "admin", "user", "remove", "s", id) })
	mc(t, s, "admin", "policy", "attach", "s", "readwrite", "--user", id)
	return id, secret
}

// later is when a file may be looked at again.
func later(s *Store) {
	s.c.keys.mu.Lock()
	defer s.c.keys.mu.Unlock()
	s.c.keys.stat, s.c.keys.again = time.Time{}, time.Time{}
}

// renewal is when credentials are to be renewed.
func renewal(s *Store) {
	s.c.keys.mu.Lock()
	defer s.c.keys.mu.Unlock()
	s.c.keys.again = time.Now().Add(-time.Second)
}

// A file that is replaced while a client is in use is read again: at once, and not
// only when the old keys are refused.
func TestRotatedFile(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	file := t.TempDir() + "/credentials"
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	first, firstSecret := user(t, s)
	second, secondSecret := user(t, s)
	write(t, file, keysFile(first, firstSecret))
	st := on(t, s, bucket(t, s, minio.MakeBucketOptions{}))
	put(t, st, "one", pattern(100))

	write(t, file, keysFile(second, secondSecret))
	later(st)
	put(t, st, "at once", pattern(100))
	if got, _ := st.c.keys.Retrieve(); got.AccessKeyID != second {
		t.Errorf("signed by %s, want %s", got.AccessKeyID, second)
	}
	mc(t, s, "admin", "user", "disable", "s", first)
	put(t, st, "two", pattern(100))
	if got := get(t, st, "one", 0); len(got) != 100 {
		t.Errorf("%d bytes", len(got))
	}

	// While there is no file, or half of one, those at hand are used.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	later(st)
	put(t, st, "without a file", pattern(100))
	write(t, file, "[default]\naws_access_key_id = ha")
	later(st)
	put(t, st, "four", pattern(100))

	// Keys that are refused, and stay the same, are an error that says where they are from.
	write(t, file, keysFile(first, firstSecret))
	later(st)
	err := st.Put(t.Context(), "five", strings.NewReader("x"))
	if !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(sdk.Hint(err), file) {
		t.Errorf("%v, hint %q; want ErrPermission and the file's name", err, sdk.Hint(err))
	}
}

// Keys that are refused are looked up again, even though nothing said that they
// would change: here only their secret does.
func TestRefusedKeysAreLookedUp(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	id, secret := user(t, s)
	var now atomic.Value
	now.Store(secret)
	agent := agentWith(t, func() any { return map[string]any{"AccessKeyId": id, "SecretAccessKey": now.Load()} })
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL)
	st := on(t, s, bucket(t, s, minio.MakeBucketOptions{}))
	put(t, st, "one", pattern(100))
	next := rand.Text()
	mc(t, s, "admin", "user", "add", "s", id, next)
	now.Store(next)
	put(t, st, "two", pattern(100))
	if n := agent.asked.Load(); n != 2 {
		t.Errorf("the agent was asked %d times, want twice", n)
	}
}

type agent struct {
	*httptest.Server
	asked atomic.Int32
}

// agentWith is the agent of a container, as ECS has it.
func agentWith(t *testing.T, document func() any) *agent {
	t.Helper()
	a := &agent{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"); r.Header.Get("Authorization") != want {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		a.asked.Add(1)
		_ = json.NewEncoder(w).Encode(document())
	}))
	t.Cleanup(a.Close)
	return a
}

// Credentials that end are renewed before they do; while that fails, those at
// hand are used.
func TestExpiringCredentials(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary")
	var broken atomic.Bool
	agent := agentWith(t, func() any {
		if broken.Load() {
			return "no document"
		}
		sts, err := credentials.NewSTSAssumeRole(s.URL(), credentials.STSAssumeRoleOptions{AccessKey: s.AccessKey, SecretKey: s.SecretKey, Location: s.Region, DurationSeconds: 900})
		if err != nil {
			t.Error(err)
			return nil
		}
		v, err := sts.GetWithContext(nil)
		if err != nil {
			t.Error(err)
		}
		return map[string]any{"AccessKeyId": v.AccessKeyID, "SecretAccessKey": v.SecretAccessKey, "Token": v.SessionToken, "Expiration": v.Expiration}
	})
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL)
	st := on(t, s, bucket(t, s, minio.MakeBucketOptions{}))
	put(t, st, "one", pattern(100))
	before, _ := st.c.keys.Retrieve()
	if f := st.c.facts()[0]; !strings.Contains(f.Detail, "container credentials of 127.0.0.1") || !strings.Contains(f.Detail, "temporary, until 20") {
		t.Errorf("%+v", f)
	}
	st.c.keys.mu.Lock()
	left := time.Until(st.c.keys.again)
	st.c.keys.mu.Unlock()
	if left < 10*time.Minute || left > 14*time.Minute {
		t.Errorf("what lives 15 minutes is renewed in %v", left)
	}

	renewal(st)
	broken.Store(true)
	put(t, st, "two", pattern(100))
	broken.Store(false)
	renewal(st)
	put(t, st, "three", pattern(100))
	if after, _ := st.c.keys.Retrieve(); after.AccessKeyID == before.AccessKeyID {
		t.Error("nothing was renewed")
	}

	// A token that is not the store's is refused, and nothing else helps.
	bad := on(t, s, st.c.bucket, func(c *Config) {
		c.AccessKey, c.SecretKey, c.SessionToken = sdk.NewSecret(before.AccessKeyID), sdk.NewSecret(before.SecretAccessKey), sdk.NewSecret("canary")
	})
	err := bad.Put(t.Context(), "x", strings.NewReader("x"))
	if !errors.Is(err, sdk.ErrPermission) || strings.Contains(fmt.Sprint(err, sdk.Hint(err)), "canary") {
		t.Errorf("%v", err)
	}
	t.Logf("a bad token: %v; %s", err, sdk.Hint(err))
}

// The metadata service of a machine, version 2.
func TestInstanceMetadata(t *testing.T) {
	bare(t)
	var role string
	m := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const path = "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			_, _ = w.Write([]byte("session"))
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session":
			w.WriteHeader(http.StatusUnauthorized) // version 1 is off
		case r.URL.Path == path && role != "":
			_, _ = w.Write([]byte(role))
		case r.URL.Path == path+role && role != "":
			_, _ = w.Write([]byte(`{"Code":"Success","AccessKeyId":"ID","SecretAccessKey":"canary","Token":"canary","Expiration":"2099-01-01T00:00:00Z"}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(m.Close)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", m.URL)
	instance := func(c *Config) { c.Credentials = "instance" }
	_, err := newClient(t.Context(), "s3:///bucket", new(defaults(instance)))
	if err == nil || !strings.Contains(err.Error(), "HTTP 404") {
		t.Errorf("a machine without a role: %v", err)
	}
	role = "backup"
	c, err := newClient(t.Context(), "s3:///bucket", new(defaults(instance)))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := c.keys.Retrieve(); v.AccessKeyID != "ID" || v.SessionToken != "canary" {
		t.Errorf("access key %q", v.AccessKeyID)
	}
	if f := c.facts()[0]; !strings.Contains(f.Detail, "instance metadata, role backup") || strings.Contains(fmt.Sprint(f), "canary") {
		t.Errorf("%+v", f)
	}
	if onAmazon() {
		return
	}
	// Elsewhere it is not even tried.
	c, err = newClient(t.Context(), "s3:///bucket", new(defaults()))
	if err != nil || !c.keys.use().anonymous {
		t.Errorf("on a machine that is not Amazon's: %+v, %v", c.facts(), err)
	}
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1") // nobody is there
	begin := time.Now()
	if _, err = newClient(t.Context(), "s3:///bucket", new(defaults(instance))); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("nobody is there: %v, want ErrUnavailable", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
}

// A web identity token is exchanged at MinIO's own token service, and read anew
// for every exchange.
func TestWebIdentity(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	t.Cleanup(issuer.Close)
	answer := func(path string, v any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys", "authorization_endpoint": issuer.URL + "/auth", "token_endpoint": issuer.URL + "/token",
		"userinfo_endpoint":                     issuer.URL + "/user",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
	})
	answer("/keys", map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}}})
	token := func(subject, policy string) string {
		head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "k", "typ": "JWT"})
		claims, _ := json.Marshal(map[string]any{
			"iss": issuer.URL, "aud": "brock", "sub": subject, "policy": policy, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		})
		text := b64(head) + "." + b64(claims)
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64(sig)
	}
	own := servers.OwnMinIO(t, "MINIO_IDENTITY_OPENID_CONFIG_URL="+issuer.URL+"/.well-known/openid-configuration", "MINIO_IDENTITY_OPENID_CLIENT_ID=brock")
	s := own.S3
	bare(t)
	file := t.TempDir() + "/token"
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	name := bucket(t, s, minio.MakeBucketOptions{})
	open := func(uri string, cfg Config) (*Store, error) {
		cfg.Secure = false
		st, err := Open(t.Context(), uri, cfg)
		if err == nil {
			t.Cleanup(func() { _ = st.Close() })
		}
		return st, err
	}
	place := s.Endpoint + "/" + name
	write(t, file, token("canary-reader", "readonly"))
	st, err := open("minio://"+place, defaults(func(c *Config) { c.Credentials = "web-identity" }))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Put(t.Context(), "x", strings.NewReader("x")); !errors.Is(err, sdk.ErrPermission) || !strings.Contains(sdk.Hint(err), "web identity "+file) {
		t.Errorf("Put by a reader: %v, hint %q", err, sdk.Hint(err))
	}
	write(t, file, token("writer", "readwrite"))
	renewal(st)
	put(t, st, "one", pattern(100))
	if f := st.c.facts()[0]; !strings.Contains(f.Detail, "token service "+s.Endpoint) || !strings.Contains(f.Detail, "temporary") {
		t.Errorf("%+v", f)
	}

	// The same by the scheme s3, which must be told of the service.
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL())
	st, err = open("s3://"+place, defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "one", 0); len(got) != 100 {
		t.Errorf("%d bytes", len(got))
	}

	write(t, file, "canary.canary.canary")
	_, err = open("s3://"+place, defaults())
	if !errors.Is(err, sdk.ErrPermission) || strings.Contains(fmt.Sprint(err, sdk.Hint(err)), "canary") {
		t.Errorf("a bad token: %v", err)
	}
	t.Logf("a bad token: %v", err)
}
