package s3store

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// The bucket's region is what Amazon says, whatever the endpoint's name says, and
// requests go there. No Amazon is asked: all that counts here is where requests
// go, and what for.
func TestRegionIsFollowed(t *testing.T) {
	bare(t)
	for uri, want := range map[string][]string{
		"s3:///bucket":                                     {"HEAD bucket.s3.amazonaws.com/", "HEAD bucket.s3.eu-central-1.amazonaws.com/key"},
		"s3://s3.us-west-2.amazonaws.com/bucket":           {"HEAD bucket.s3.us-west-2.amazonaws.com/", "HEAD bucket.s3.eu-central-1.amazonaws.com/key"},
		"s3://s3.dualstack.us-west-2.amazonaws.com/bucket": {"HEAD bucket.s3.dualstack.us-west-2.amazonaws.com/", "HEAD bucket.s3.dualstack.eu-central-1.amazonaws.com/key"},
		"s3://s3-accelerate.amazonaws.com/bucket":          {"HEAD bucket.s3.amazonaws.com/", "HEAD bucket.s3-accelerate.amazonaws.com/key"},
	} {
		var mu sync.Mutex
		var asked, scopes []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, r.Method+" "+r.Host+r.URL.Path)
			scopes = append(scopes, r.Header.Get("Authorization"))
			w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
			w.WriteHeader(http.StatusForbidden)
		}))
		t.Cleanup(s.Close)
		c, err := newClient(t.Context(), uri, new(defaults(func(c *Config) {
			c.Secure, c.AccessKey, c.SecretKey = false, sdk.NewSecret("id"), sdk.NewSecret("canary")
		})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.t.close)
		c.t.base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
		_, err = c.core.StatObject(t.Context(), "bucket", "key", minio.StatObjectOptions{})
		checkKind(t, uri, c.fail("key", err), sdk.ErrPermission)
		if !slices.Equal(asked, want) || scopes[0] != "" || !strings.Contains(scopes[1], "/eu-central-1/s3/") {
			t.Errorf("%s: asked %q, signed %q; want %q", uri, asked, scopes, want)
		}
		if f := c.regionFact(); !strings.HasPrefix(f.Detail, "eu-central-1") || strings.Contains(uri, "us-west-2") != strings.Contains(f.Hint, "s3.eu-central-1.amazonaws.com/bucket") {
			t.Errorf("%s: %+v", uri, f)
		}
	}
}

// Whoever may not ask for the region can still use the bucket.
func TestRegionThatMayNotBeAskedFor(t *testing.T) {
	s := servers.MinIO(t)
	bare(t)
	name := bucket(t, s, minio.MakeBucketOptions{})
	put(t, on(t, s, name, keyed(s)), "one", pattern(10))
	mc(t, s, "anonymous", "set", "download", "s/"+name)
	st := on(t, s, name, func(c *Config) { c.Anonymous = true })
	if got := get(t, st, "one", 0); len(got) != 10 {
		t.Errorf("%d bytes", len(got))
	}
	if f := st.c.regionFact(); !strings.HasPrefix(f.Detail, "us-east-1") {
		t.Errorf("%+v", f)
	}
}
