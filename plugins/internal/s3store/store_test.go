package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			code = 1
		}
	}
	os.Exit(code)
}

// dial returns a client of a server, by another address if there is one.
func dial(t *testing.T, s servers.S3, addr string, creds *credentials.Credentials) *minio.Core {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, WriteBufferSize: 128 << 10, MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	if addr == "" {
		addr = s.Endpoint
	}
	if creds == nil {
		creds = credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")
	}
	core, err := minio.NewCore(addr, &minio.Options{
		Creds: creds, Secure: s.Secure, Transport: tr, Region: s.Region, MaxRetries: 3, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// bucket makes one, and removes it with all that it holds at the end of the test.
func bucket(t *testing.T, s servers.S3, opts minio.MakeBucketOptions) string {
	t.Helper()
	core, name := dial(t, s, "", nil), "brock-"+strings.ToLower(rand.Text())
	if err := core.MakeBucket(t.Context(), name, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := core.RemoveBucketWithOptions(ctx, name, minio.RemoveBucketOptions{ForceDelete: true}); err == nil {
			return
		}
		for u := range core.ListIncompleteUploads(ctx, name, "", true) {
			_ = core.AbortMultipartUpload(ctx, name, u.Key, u.UploadID)
		}
		for o := range core.ListObjectsIter(ctx, name, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
			_ = core.RemoveObject(ctx, name, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true})
		}
		if err := core.RemoveBucket(ctx, name); err != nil {
			t.Logf("removing bucket %s: %v", name, err)
		}
	})
	return name
}

// store opens a Store in a bucket, with small parts.
func store(t *testing.T, core *minio.Core, bucket string, options ...func(*client)) *Store {
	t.Helper()
	c := &client{
		core: core, bucket: bucket, prefix: "pre/fix/", place: "s3://test/" + bucket + "/pre/fix",
		secure: core.EndpointURL().Scheme == "https", partSize: 5 << 20, checksum: "auto", abortAfter: 24 * time.Hour,
	}
	for _, o := range options {
		o(c)
	}
	s := newStore(c)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// onMinIO opens a Store in a bucket of its own.
func onMinIO(t *testing.T, options ...func(*client)) *Store {
	t.Helper()
	m := servers.MinIO(t)
	return store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{}), options...)
}

// behind opens a Store in the same bucket as another one, behind a Fault.
func behind(t *testing.T, m servers.S3, s *Store, options ...func(*client)) (*Store, *servers.Fault) {
	t.Helper()
	f := servers.Proxy(t, m.Endpoint)
	return store(t, dial(t, m, f.Addr, nil), s.c.bucket, options...), f
}

// pattern returns bytes that are different everywhere.
func pattern(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16 ^ i>>20*7)
	}
	return data
}

func put(t *testing.T, s *Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, onlyReader{bytes.NewReader(data)}); err != nil {
		t.Fatalf("Put(%q) of %d bytes: %v", name, len(data), err)
	}
}

// An onlyReader says nothing of its size.
type onlyReader struct{ io.Reader }

func get(t *testing.T, s *Store, name string, offset int64) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), name, offset)
	if err != nil {
		t.Fatalf("Get(%q, %d): %v", name, offset, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %q from %d: %v after %d bytes", name, offset, err, len(data))
	}
	return data
}

func wantObject(t *testing.T, s *Store, name string, want []byte) {
	t.Helper()
	if got := get(t, s, name, 0); !bytes.Equal(got, want) {
		t.Errorf("Get(%q) has %d bytes, want the %d that were put", name, len(got), len(want))
	}
}

func wantAbsent(t *testing.T, s *Store, name string) {
	t.Helper()
	r, err := s.Get(t.Context(), name, 0)
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get(%q) = %v, want that there is none", name, err)
	}
}

// wantNoUploads wants no unfinished upload of an object.
func wantNoUploads(t *testing.T, s *Store, name string) {
	t.Helper()
	err := s.uploads(t.Context(), name, func(u minio.ObjectMultipartInfo) error {
		t.Errorf("there is an unfinished upload of %s", u.Key)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func list(t *testing.T, s *Store, prefix string) (names []string) {
	t.Helper()
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q): %v", prefix, err)
		}
		names = append(names, o.Name)
	}
	return names
}
