package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// asked returns how many bytes a request asks for.
func asked(r *http.Request) int64 {
	from, to, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	first, err := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if !ok || err != nil || err2 != nil {
		return 0
	}
	return last - first + 1
}

// A connection that is cut, again and again, is no end: reading goes on at the
// byte where it stopped, and next to nothing is sent twice.
func TestGetResumes(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	const size = 40<<20 + 12345
	data := pattern(size)
	put(t, direct, "object", data)
	s, f := behind(t, m, direct)
	n := 0
	f.Do(func(r *http.Request) servers.Action {
		if n++; r.Method != http.MethodGet || n%2 == 0 {
			return servers.Action{}
		}
		return servers.Action{CutResponse: max(1, asked(r)/3)}
	})
	wantObject(t, s, "object", data)
	if n < 2*(size>>23) {
		t.Errorf("%d requests, want at least two for every range", n)
	}
	_, f = behind(t, m, direct)
	f.Do(func(r *http.Request) servers.Action { return servers.Action{} })
	f.CutAfter(-1, 5<<20)
	s = store(t, dial(t, m, f.Addr, nil), direct.c.bucket)
	wantObject(t, s, "object", data)
	if used, _ := buffers.Used(); used != 0 {
		t.Errorf("%d chunks are in use", used)
	}
}

// Readers that want a block cost little, and close at once what they began.
func TestGetClosedEarly(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	put(t, direct, "object", pattern(20<<20))
	s, f := behind(t, m, direct)
	var wanted atomic.Int64
	f.Do(func(r *http.Request) servers.Action {
		wanted.Add(asked(r))
		return servers.Action{}
	})
	for i := range 50 {
		r, err := s.Get(t.Context(), "object", int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 4096)); err != nil {
			t.Error(err)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("a reader that is closed can be read")
		}
	}
	if got, want := wanted.Load(), int64(50*firstRange); got > want {
		t.Errorf("50 blocks cost %d bytes, want at most %d", got, want)
	}
	for range 10 { // some that are closed while others are on their way
		r, err := s.Get(t.Context(), "object", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, firstRange+1); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if used, _ := buffers.Used(); used != 0 {
		t.Errorf("%d chunks are in use", used)
	}
}

// Readers of which nobody reads on keep neither others nor Puts from theirs.
func TestGetsThatStandStill(t *testing.T) {
	s := onMinIO(t)
	data := pattern(30 << 20)
	put(t, s, "object", data)
	for range 20 {
		r, err := s.Get(t.Context(), "object", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.CopyN(io.Discard, r, firstRange); err != nil {
			t.Fatal(err)
		}
	}
	wantObject(t, s, "object", data)
	put(t, s, "another", data)
	wantObject(t, s, "another", data)
}

// All that a reader yields is of one version of the object.
func TestGetOfWhatIsReplaced(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		put(t, s, "object", pattern(20<<20))
		r, err := s.Get(t.Context(), "object", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.CopyN(io.Discard, r, 10); err != nil {
			t.Fatal(err)
		}
		v, err := s.Version(t.Context(), "object")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Replace(t.Context(), "object", bytes.NewReader(make([]byte, 20<<20)), v); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("reading on after %d bytes: %v, want that it was replaced", n, err)
		}
	})
}

// What is absent is told apart from what may not be seen, and from a bucket that
// is not there.
func TestGetOfNothing(t *testing.T) {
	several(t, func(t *testing.T, m servers.S3, s *Store) {
		wantAbsent(t, s, "nothing/here")
		nowhere := store(t, s.c.core, "brock-no-such-bucket")
		_, err := nowhere.Get(t.Context(), "object", 0)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "bucket") {
			t.Errorf("Get from no bucket: %v, want that it says so", err)
		}
		if _, err := nowhere.Version(t.Context(), "object"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Version where there is no bucket: %v, want ErrNotExist", err)
		}
		if err := nowhere.Put(t.Context(), "object", strings.NewReader("x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Put into no bucket: %v, want ErrNotExist", err)
		}
		if v, err := s.Version(t.Context(), "object"); v != "" || err != nil {
			t.Errorf("Version of nothing = %q, %v", v, err)
		}
		for _, err := range nowhere.List(t.Context(), "") {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("List of no bucket: %v, want ErrNotExist", err)
			}
		}
	})
}

// A cancel ends a read.
func TestGetCancelled(t *testing.T) {
	s := onMinIO(t)
	put(t, s, "object", pattern(20<<20))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Get(ctx, "object", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, _ = io.CopyN(io.Discard, r, firstRange+10)
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on after a cancel: %v", err)
	}
}

// What was stored in parts by others is read like anything else, and so is an
// object of another client.
func TestGetOfOthers(t *testing.T) {
	s := onMinIO(t)
	data := pattern(3 << 20)
	_, err := s.c.core.Client.PutObject(t.Context(), s.c.bucket, s.key("by/another client"), bytes.NewReader(data), -1,
		minio.PutObjectOptions{PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "by/another client", data)
}
