package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// keysOf is a shared credentials file.
func keysOf(id, secret, token string) string {
	text := "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = " + secret + "\n"
	if token != "" {
		text += "aws_session_token = " + token + "\n"
	}
	return text
}

// home is the place of the user's own credentials file.
func (b *bench) home() string {
	b.t.Helper()
	dir := filepath.Join(b.dir, ".aws")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return filepath.Join(dir, "credentials")
}

// replace gives a file other contents, at once.
func replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Error(err)
	}
}

// isPart reports whether a request sends a part of an object.
func isPart(r *http.Request, number string) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == number
}

// keysAreRotated in the file that a backup reads them from, and the old ones do
// not work any more from that moment on.
func keysAreRotated(t *testing.T, l *lab) {
	c := l.site(t, servers.MinIO(t))
	old, next := c.user(c.everything()), c.user(c.everything())
	c.bench = l.bench(t)
	file := c.home()
	replace(t, file, keysOf(old[0], old[1], ""))
	f := servers.Proxy(t, c.Endpoint)
	var rotated, refused atomic.Int32
	f.Do(func(r *http.Request) servers.Action {
		switch {
		case isPart(r, "3") && rotated.CompareAndSwap(0, 1):
			replace(t, file, keysOf(next[0], next[1], ""))
			c.mustMC("admin", "user", "disable", "m", old[0])
			refused.Add(1) // this very request
		case rotated.Load() == 1 && strings.Contains(r.Header.Get("Authorization"), old[0]):
			refused.Add(1)
		}
		return servers.Action{}
	})
	at := c.through(f.Addr, "dr", "credentials=file", "part_size=5MiB")
	c.brock("backup", "-l", at, "-p", l.big)
	if rotated.Load() == 0 || refused.Load() == 0 {
		t.Error("nothing was rotated while the backup was going on")
	}
	c.lists(at, 1)
	c.brock("verify", "-l", at, "--restore")

	// Keys that are disabled, and no other ones.
	replace(t, file, keysOf(old[0], old[1], ""))
	said := c.fails(1, []string{"hint: ", "~/.aws/credentials"}, "ls", "-l", at)
	if strings.Contains(said, old[1]) {
		t.Errorf("it shows the secret: %s", said)
	}
}

// tokensExpire while a backup goes on, and a new one is in the file by then.
func tokensExpire(t *testing.T, l *lab) {
	issuer := newIssuer(t)
	own := servers.OwnMinIO(t, issuer.env()...)
	c := l.site(t, own.S3)
	c.bench = l.bench(t)
	file := c.home()
	f := servers.Proxy(t, c.Endpoint)
	at := c.through(f.Addr, "dr", "credentials=file", "part_size=5MiB")

	// It lives until the third part has come. How long that is the machine decides.
	var first string
	var held atomic.Bool
	for life := 5 * time.Second; !held.Load(); life *= 2 {
		var until time.Time
		first, until = issuer.exchange(c.S3, life)
		replace(t, file, first)
		f.Do(func(r *http.Request) servers.Action {
			if !isPart(r, "3") || time.Now().After(until) || !held.CompareAndSwap(false, true) {
				return servers.Action{}
			}
			second, _ := issuer.exchange(c.S3, time.Hour)
			replace(t, file, second)
			return servers.Action{Delay: time.Until(until.Add(time.Second))} // it is signed with the first one
		})
		got := c.try("backup", "-l", at, "-p", l.big)
		if held.Load() && got.code != 0 || life > time.Minute {
			t.Fatalf("the token expired after %v while the backup was going on: %v", life, got)
		}
	}
	c.lists(at, 1)
	c.brock("verify", "-l", at, "--restore")

	replace(t, file, first)
	token := first[strings.LastIndex(first, " ")+1 : len(first)-1]
	for _, args := range [][]string{{"backup", "-l", at, "-p", l.big}, {"ls", "-l", at}, {"restore", "-l", at, "-p", "out"}} {
		said := c.fails(1, []string{"HTTP 403, request ", "hint: ", "~/.aws/credentials"}, args...)
		if strings.Contains(said, token) {
			t.Errorf("it shows the token: %s", said)
		}
	}
}

// An issuer signs identity tokens, which MinIO's token service exchanges for
// credentials that live as long.
type issuer struct {
	t   *testing.T
	url string
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	answer := func(path string, v any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": s.URL, "jwks_uri": s.URL + "/keys", "authorization_endpoint": s.URL + "/auth", "token_endpoint": s.URL + "/token",
		"userinfo_endpoint":                     s.URL + "/user",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
	})
	answer("/keys", map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}}})
	return &issuer{t, s.URL, key}
}

// env lets a MinIO trust the issuer.
func (i *issuer) env() []string {
	return []string{"MINIO_IDENTITY_OPENID_CONFIG_URL=" + i.url + "/.well-known/openid-configuration", "MINIO_IDENTITY_OPENID_CLIENT_ID=brock"}
}

// exchange returns a credentials file with a session token, and when that
// expires.
func (i *issuer) exchange(s servers.S3, life time.Duration) (string, time.Time) {
	i.t.Helper()
	until := time.Now().Add(life).Truncate(time.Second)
	b64 := base64.RawURLEncoding.EncodeToString
	head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "k", "typ": "JWT"})
	claims, _ := json.Marshal(map[string]any{
		"iss": i.url, "aud": "brock", "sub": "backup", "policy": "readwrite", "iat": time.Now().Unix(), "exp": until.Unix(),
	})
	text := b64(head) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		i.t.Fatal(err)
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "WebIdentityToken": {text + "." + b64(sig)}}
	resp, err := http.PostForm(s.URL(), form)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string `xml:"AccessKeyId"`
				SecretAccessKey string
				SessionToken    string
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		i.t.Fatalf("%s, %v", resp.Status, err)
	}
	v := got.Result.Credentials
	return keysOf(v.AccessKeyID, v.SecretAccessKey, v.SessionToken), until
}
