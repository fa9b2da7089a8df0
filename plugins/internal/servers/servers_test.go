package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// s3Client returns a client of s that connects to addr.
func s3Client(t *testing.T, s S3, addr string) *miniogo.Client {
	t.Helper()
	hc, err := client(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := miniogo.New(addr, &miniogo.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.Secure, Region: s.Region,
		Transport: hc.Transport, MaxRetries: 1, TrailingHeaders: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bucket returns a client and a new bucket, which goes with the test.
func bucket(t *testing.T, s S3) (*miniogo.Client, string) {
	t.Helper()
	c := s3Client(t, s, s.Endpoint)
	name := "t-" + bucketName()
	if err := c.MakeBucket(t.Context(), name, miniogo.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.RemoveBucketWithOptions(ctx, name, miniogo.RemoveBucketOptions{ForceDelete: true}); err != nil {
			for o := range c.ListObjects(ctx, name, miniogo.ListObjectsOptions{Recursive: true}) {
				_ = c.RemoveObject(ctx, name, o.Key, miniogo.RemoveObjectOptions{})
			}
			if err := c.RemoveBucket(ctx, name); err != nil {
				t.Error(err)
			}
		}
	})
	return c, name
}

func bucketName() string { return strings.ToLower(rand.Text()) }

func TestS3KeepsObjects(t *testing.T) {
	for name, server := range map[string]func(testing.TB) S3{"minio": MinIO, "minio-tls": MinIOTLS, "versitygw": Versity} {
		t.Run(name, func(t *testing.T) {
			c, b := bucket(t, server(t))
			if _, err := c.PutObject(t.Context(), b, "a", bytes.NewReader([]byte("hello")), 5, miniogo.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			o, err := c.GetObject(t.Context(), b, "a", miniogo.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(o)
			if err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestMinIOEncrypts(t *testing.T) {
	kms, err := encrypt.NewSSEKMS("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, b := bucket(t, MinIOTLS(t))
	for name, sse := range map[string]encrypt.ServerSide{"SSE-S3": encrypt.NewSSE(), "SSE-KMS": kms} {
		if _, err := c.PutObject(t.Context(), b, name, bytes.NewReader([]byte("hello")), 5,
			miniogo.PutObjectOptions{ServerSideEncryption: sse}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o, err := c.StatObject(t.Context(), b, name, miniogo.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if o.Metadata.Get("X-Amz-Server-Side-Encryption") == "" {
			t.Errorf("%s: was not asked to encrypt: %v", name, o.Metadata)
		}
	}
}

func TestOwnMinIOKeepsItsPlaceAndData(t *testing.T) {
	o := OwnMinIO(t)
	c, b := bucket(t, o.S3)
	for name, end := range map[string]func(){"stop": o.Stop, "kill": o.Kill} {
		if _, err := c.PutObject(t.Context(), b, name, bytes.NewReader([]byte("hello")), 5, miniogo.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		end()
		if _, err := c.StatObject(t.Context(), b, name, miniogo.StatObjectOptions{}); err == nil {
			t.Errorf("answers after %s", name)
		}
		o.Start()
		if _, err := c.StatObject(t.Context(), b, name, miniogo.StatObjectOptions{}); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestMC(t *testing.T) {
	s := MinIO(t)
	_, b := bucket(t, s)
	cmd := exec.Command(MC(t), "ls", "own")
	cmd.Env = []string{"HOME=" + t.TempDir(), "MC_HOST_own=http://" + s.AccessKey + ":" + s.SecretKey + "@" + s.Endpoint}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), b+"/") {
		t.Errorf("%v, and no %s in\n%s", err, b, out)
	}
}
