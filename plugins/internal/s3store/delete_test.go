package s3store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// Delete removes one object, and may be repeated.
func TestDelete(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		for _, name := range []string{"dir/a", "dir/ab", "dir/b"} {
			put(t, s, name, []byte("x"))
		}
		for range 2 {
			if err := s.Delete(t.Context(), "dir/a"); err != nil {
				t.Error(err)
			}
		}
		if err := s.Delete(t.Context(), "dir"); err != nil {
			t.Error(err)
		}
		if got, want := list(t, s, ""), []string{"dir/ab", "dir/b"}; !slices.Equal(got, want) {
			t.Errorf("List = %q, want %q", got, want)
		}
		put(t, s, "dir/a", []byte("again"))
		nowhere := store(t, s.c.core, "brock-no-such-bucket")
		if err := nowhere.Delete(t.Context(), "a"); err == nil {
			t.Error("Delete where there is no bucket: no error")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Delete(ctx, "dir/b"); !errors.Is(err, context.Canceled) {
			t.Errorf("Delete that is cancelled: %v", err)
		}
	})
}

// On a bucket with versions what is deleted is gone from sight, and the name is
// free.
func TestVersionedBucket(t *testing.T) {
	m := servers.MinIO(t)
	s := store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{}))
	if err := s.c.core.EnableVersioning(t.Context(), s.c.bucket); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	for o := range s.c.core.ListObjectsIter(t.Context(), s.c.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		t.Errorf("the probe leaves a version of %s", o.Key)
	}
	for _, data := range [][]byte{[]byte("first"), pattern(smallPart + 1)} {
		put(t, s, "object", data)
		wantObject(t, s, "object", data)
		if err := s.Put(t.Context(), "object", strings.NewReader("x")); !errors.Is(err, sdk.ErrExist) {
			t.Errorf("Put at a name that is taken: %v", err)
		}
		if err := s.Delete(t.Context(), "object"); err != nil {
			t.Error(err)
		}
		wantAbsent(t, s, "object")
		if v, err := s.Version(t.Context(), "object"); v != "" || err != nil {
			t.Errorf("Version of what is deleted = %q, %v", v, err)
		}
	}
	if _, err := s.Replace(t.Context(), "object", strings.NewReader("again"), ""); err != nil {
		t.Errorf("Replace of what is deleted: %v", err)
	}
	wantObject(t, s, "object", []byte("again"))
}

// Where objects are locked they are written and read as ever, Probe succeeds, and
// Delete says politely what holds them.
func TestLockedBucket(t *testing.T) {
	m := servers.MinIO(t)
	b := bucket(t, m, minio.MakeBucketOptions{ObjectLocking: true})
	s := store(t, dial(t, m, "", nil), b, func(c *client) {
		c.put.Mode, c.retain = minio.Governance, time.Hour
	})
	for _, sum := range []string{"auto", "sha256", "off"} {
		s.c.checksum = sum
		for name, data := range map[string][]byte{"small": pattern(10), "empty": nil, "large": pattern(smallPart + 1)} {
			put(t, s, sum+name, data)
			wantObject(t, s, sum+name, data)
		}
	}
	for _, name := range []string{"autosmall", "autoempty", "autolarge"} {
		err := s.Delete(t.Context(), name)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "locked until 2") || sdk.Hint(err) == "" {
			t.Errorf("Delete of what is locked: %v (%s), want ErrPermission, until when, and a hint", err, sdk.Hint(err))
		}
		get(t, s, name, 0)
	}
	if err := s.Delete(t.Context(), "nothing"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
	if got := list(t, s, ""); slices.ContainsFunc(got, isHidden) {
		t.Errorf("List shows %q", got)
	}
	// Others see the lock, too, and what is not locked can be deleted.
	plain := store(t, s.c.core, b)
	if err := plain.Delete(t.Context(), "autosmall"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Delete of what somebody has locked: %v, want ErrPermission", err)
	}
	put(t, plain, "free", nil)
	if err := plain.Delete(t.Context(), "free"); err != nil {
		t.Errorf("Delete of what is not locked: %v", err)
	}
	findings, err := s.Report(t.Context())
	if err != nil || !strings.Contains(detail(findings, "lock"), "locked for 1h0m0s (GOVERNANCE)") {
		t.Errorf("Report = %+v, %v; want the lock", findings, err)
	}
}

func detail(findings []sdk.Finding, name string) string {
	for _, f := range findings {
		if f.Name == name {
			return f.Detail
		}
	}
	return ""
}

// leave begins an upload and leaves it unfinished, as a plugin that was killed
// does.
func leave(t *testing.T, s *Store, name string) {
	t.Helper()
	id, err := s.c.core.NewMultipartUpload(t.Context(), s.c.bucket, s.key(name), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.c.core.PutObjectPart(t.Context(), s.c.bucket, s.key(name), id, 1, bytes.NewReader(pattern(1000)), 1000, minio.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func unfinished(t *testing.T, s *Store, name string) (n int) {
	t.Helper()
	err := s.uploads(t.Context(), name, func(minio.ObjectMultipartInfo) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a crash has left is removed when it is old: all of it by the first Put
// where the store finds it, that of an object by its next Put in parts, and by
// its Delete whatever its age. What lies outside of the location stays.
func TestLeftovers(t *testing.T) {
	several(t, func(t *testing.T, m servers.S3, s *Store) {
		sibling := store(t, s.c.core, s.c.bucket, func(c *client) { c.prefix = "pre/fix2/" })
		leave(t, sibling, "a")
		leave(t, s, "a")
		leave(t, s, "b")
		put(t, s, "a", pattern(smallPart+1))
		_ = s.Close() // waits
		if a, b := unfinished(t, s, "a"), unfinished(t, s, "b"); a != 1 || b != 1 {
			t.Errorf("%d and %d uploads are left, want those that are not old", a, b)
		}
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if a, b := unfinished(t, s, "a"), unfinished(t, s, "b"); a != 0 || b != 1 {
			t.Errorf("after Delete %d and %d uploads are left, want 0 and 1", a, b)
		}
		leave(t, s, "a")
		never := store(t, s.c.core, s.c.bucket, func(c *client) { c.abortAfter = 0 })
		put(t, never, "c", pattern(smallPart+1))
		_ = never.Delete(t.Context(), "a")
		_ = never.Close()
		if a, b := unfinished(t, s, "a"), unfinished(t, s, "b"); a != 1 || b != 1 {
			t.Errorf("%d and %d uploads are left where none may be removed, want 1 and 1", a, b)
		}
		findings, err := s.Report(t.Context())
		if err != nil {
			t.Error(err)
		}
		t.Logf("%+v", findings)
		later := store(t, s.c.core, s.c.bucket, func(c *client) { c.abortAfter = time.Nanosecond })
		put(t, later, "a", pattern(smallPart+1))
		put(t, later, "b", pattern(smallPart+1))
		_ = later.Close()
		if a, b := unfinished(t, s, "a"), unfinished(t, s, "b"); a != 0 || b != 0 {
			t.Errorf("%d and %d old uploads are left", a, b)
		}
		if n := unfinished(t, sibling, "a"); n != 1 {
			t.Errorf("%d uploads are left outside of the location, want 1", n)
		}
		_ = sibling.Delete(t.Context(), "a")
	})
}

// Uploads are found and removed by the prefix, also where the store knows whole keys
// only, and those outside of the location are nobody's business.
func TestLeftoversBelowThePrefix(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		sibling := store(t, s.c.core, s.c.bucket, func(c *client) { c.prefix = "pre/fix2/" })
		leave(t, sibling, "a")
		findings, _ := s.Report(t.Context())
		if got := detail(findings, "uploads"); got != "the store tells of no unfinished ones" {
			t.Errorf("with an upload elsewhere: %q", got)
		}
		leave(t, s, "a")
		leave(t, s, "dir/b")
		findings, _ = s.Report(t.Context())
		if got := detail(findings, "uploads"); !strings.HasPrefix(got, "2 unfinished, the oldest of 2") {
			t.Errorf("Report says of two: %q", got)
		}
		later := store(t, s.c.core, s.c.bucket, func(c *client) { c.abortAfter = time.Nanosecond })
		put(t, later, "small", pattern(10))
		_ = later.Close() // waits
		if a, b, other := unfinished(t, s, "a"), unfinished(t, s, "dir/b"), unfinished(t, sibling, "a"); a != 0 || b != 0 || other != 1 {
			t.Errorf("%d and %d uploads are left, and %d outside of the location; want 0, 0, 1", a, b, other)
		}
		_ = sibling.Delete(t.Context(), "a")
	})
}

// An upload that is old and still gets parts is somebody's, and no leftover.
func TestUploadOfLongAgoThatGrows(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		const age = 2 * time.Second
		core, key := s.c.core, s.key("long")
		id, err := core.NewMultipartUpload(t.Context(), s.c.bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		grow := func(n int) {
			_, err := core.PutObjectPart(t.Context(), s.c.bucket, key, id, n, bytes.NewReader(pattern(1000)), 1000, minio.PutObjectPartOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
		grow(1)
		<-time.After(age + time.Second) // what counts is the store's clock
		grow(2)
		if s.endUploads(t.Context(), "long", age); unfinished(t, s, "long") != 1 {
			t.Error("an upload that has just got a part is removed")
		}
		<-time.After(age + time.Second)
		if s.endUploads(t.Context(), "long", age); unfinished(t, s, "long") != 0 {
			t.Error("an upload that has got no part for long is left")
		}
	})
}

// Whoever may not list uploads can put and delete all the same.
func TestLeftoversForbidden(t *testing.T) {
	m := servers.MinIO(t)
	s, f := behind(t, m, onMinIO(t))
	asks := 0
	f.Do(func(r *http.Request) servers.Action {
		if r.URL.Query().Has("uploads") && r.Method == http.MethodGet {
			asks++
			return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
		}
		return servers.Action{}
	})
	for range 5 {
		put(t, s, "a", pattern(smallPart+1))
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	if asks > 3 {
		t.Errorf("the store was asked %d times for what it refuses", asks)
	}
}

// Probe leaves nothing, tells what the place is like, and notices what is wrong
// with it.
func TestProbe(t *testing.T) {
	several(t, func(t *testing.T, m servers.S3, s *Store) {
		for range 2 {
			if err := s.Probe(t.Context()); err != nil {
				t.Error(err)
			}
		}
		for o := range s.c.core.ListObjectsIter(t.Context(), s.c.bucket, minio.ListObjectsOptions{Recursive: true}) {
			t.Errorf("Probe leaves %s", o.Key)
		}
		findings, err := s.Report(t.Context())
		if err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{
			"create-only": "If-None-Match is honoured", "replace": "If-Match is honoured", "checksum": "CRC32C, found out by trying",
			"multipart": "If-None-Match at the end of a multipart upload is honoured",
		} {
			if got := detail(findings, name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		nowhere := store(t, s.c.core, "brock-no-such-bucket")
		if err := nowhere.Probe(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Probe where there is no bucket: %v", err)
		}
		if m.Secure {
			return
		}
		bad, f := behind(t, m, s)
		f.Do(func(r *http.Request) servers.Action {
			if r.Method == http.MethodPut {
				return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
			}
			return servers.Action{}
		})
		err = bad.Probe(t.Context())
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "can be listed, and not written") || sdk.Hint(err) == "" {
			t.Errorf("Probe where nothing may be written: %v, hint %q", err, sdk.Hint(err))
		}
		f.Do(func(r *http.Request) servers.Action {
			if r.Method == http.MethodDelete || r.Method == http.MethodGet && !r.URL.Query().Has("list-type") {
				return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
			}
			return servers.Action{}
		})
		if err := bad.Probe(t.Context()); err != nil {
			t.Errorf("Probe where nothing may be read or deleted: %v", err)
		}
		if got := list(t, s, ""); len(got) > 0 {
			t.Errorf("List shows %q", got)
		}
	})
}

// A probe leaves no upload where none may be ended, and says that none may be. A Put
// leaves one, and that is said as well.
func TestProbeThatMayNotAbort(t *testing.T) {
	m := servers.MinIO(t)
	for _, versions := range []bool{false, true} {
		own := onMinIO(t)
		if versions {
			if err := own.c.core.EnableVersioning(t.Context(), own.c.bucket); err != nil {
				t.Fatal(err)
			}
		}
		s, f := behind(t, m, own)
		f.Do(func(r *http.Request) servers.Action {
			if r.Method == http.MethodDelete && r.URL.Query().Has("uploadId") {
				return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
			}
			return servers.Action{}
		})
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		wantNoUploads(t, own, "")
		for o := range own.c.core.ListObjectsIter(t.Context(), s.c.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
			t.Errorf("with versions: %v: the probe leaves %s", versions, o.Key)
		}
		findings, err := s.Report(t.Context())
		if got := detail(findings, "aborting"); err != nil || !strings.Contains(got, "may not end uploads") || strings.Contains(got, "left") {
			t.Errorf("Report after a Probe = %q, %v", got, err)
		}
		if got := detail(findings, "multipart"); !strings.Contains(got, "is honoured") {
			t.Errorf("multipart: %q", got)
		}
		again, g := behind(t, m, own)
		g.Do(func(r *http.Request) servers.Action {
			if r.Method == http.MethodDelete && r.URL.Query().Has("uploadId") {
				return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
			}
			return servers.Action{}
		})
		put(t, again, "object", pattern(10))
		wantObject(t, again, "object", pattern(10))
		_ = again.Close() // waits
		findings, err = again.Report(t.Context())
		if got := detail(findings, "aborting"); err != nil || !strings.Contains(got, "; 1 left just now") || unfinished(t, own, "") != 1 {
			t.Errorf("Report after a Put = %q, %v", got, err)
		}
	}
}

// In a bucket without a prefix, somebody else's uploads are left alone.
func TestUploadsOfOthersStay(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		s.c.prefix, s.c.abortAfter = "", time.Nanosecond
		for _, key := range []string{"films/2026.mkv", "dgraph.20260101.000000.000/r1-g1.backup"} {
			if _, err := s.c.core.NewMultipartUpload(t.Context(), s.c.bucket, key, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		s.endUploads(t.Context(), "", time.Nanosecond)
		var left []string
		if err := s.uploads(t.Context(), "", func(u minio.ObjectMultipartInfo) error {
			left = append(left, u.Key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if strings.Join(left, " ") != "films/2026.mkv" {
			t.Errorf("left: %q", left)
		}
	})
}
