package main

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

// The kit holds on an S3 server of another maker.
func TestDestination(t *testing.T) {
	s := servers.Versity(t)
	place := newBucket(t, s)
	f := servers.Proxy(t, s.Endpoint)
	f.Answer(1, 1, servers.SlowDown)
	sdktest.TestDestination(t, settings(s, "s3://"+s.Endpoint+"/"+place+"/kit"),
		sdktest.Missing(settings(s, "s3://"+s.Endpoint+"/brock-no-such-bucket/kit")),
		sdktest.Throttled(settings(s, "s3://"+f.Addr+"/"+place+"/kit")))
}

func settings(s servers.S3, uri string) map[string]any {
	return map[string]any{
		"uri": uri, "secure": s.Secure, "region": s.Region, "accessKey": s.AccessKey, "secretKey": s.SecretKey,
	}
}

// newBucket makes a bucket, and removes it when the test is over and has removed
// what it put there.
func newBucket(t *testing.T, s servers.S3) string {
	t.Helper()
	c, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.Secure, Region: s.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	name := "brock-" + strings.ToLower(rand.Text())
	if err := c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.RemoveBucket(context.WithoutCancel(t.Context()), name); err != nil {
			t.Logf("removing bucket %s: %v", name, err)
		}
	})
	return name
}
