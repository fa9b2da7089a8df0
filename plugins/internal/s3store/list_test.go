package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// plant stores empty objects under keys, whatever they are.
func plant(t *testing.T, s *Store, keys ...string) {
	t.Helper()
	next := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range next {
				err := retry(t.Context(), func() error { // a server may close a connection in the moment that it is used again
					_, err := s.c.core.PutObject(t.Context(), s.c.bucket, key, http.NoBody, 0, "", "", minio.PutObjectOptions{})
					return s.fail(t.Context(), key, err)
				})
				if err != nil {
					t.Errorf("putting %q: %v", key, err)
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
}

// plantMany does it in one request, as MinIO allows.
func plantMany(t *testing.T, s *Store, keys []string) {
	t.Helper()
	objects := make(chan minio.SnowballObject)
	go func() {
		defer close(objects)
		for _, key := range keys {
			objects <- minio.SnowballObject{Key: key, Content: strings.NewReader("x"), Size: 1}
		}
	}()
	if err := s.c.core.PutObjectsSnowball(t.Context(), s.c.bucket, minio.SnowballOptions{InMemory: true}, objects); err != nil {
		t.Fatal(err)
	}
}

// All of ten thousand objects are listed, in the order of their bytes, also when
// connections are cut and requests turned away meanwhile.
func TestListMany(t *testing.T) {
	m := servers.MinIO(t)
	s := onMinIO(t)
	var want, keys []string
	for i := range 10_000 {
		name := fmt.Sprintf("%d/%d", i%7, i)
		want, keys = append(want, name), append(keys, s.key(name))
	}
	plantMany(t, s, keys)
	slices.Sort(want)
	if got := list(t, s, ""); !slices.Equal(got, want) {
		t.Errorf("List has %d names, want %d", len(got), len(want))
	}
	s, f := behind(t, m, s)
	n := 0
	f.Do(func(*http.Request) servers.Action {
		switch n++; n % 5 {
		case 2:
			return servers.Action{CutResponse: 20_000}
		case 3:
			return servers.SlowDown
		case 4:
			return servers.Action{Drop: true}
		}
		return servers.Action{}
	})
	if got := list(t, s, ""); !slices.Equal(got, want) {
		t.Errorf("List over a bad connection has %d names, want %d", len(got), len(want))
	}
	if n < 20 {
		t.Errorf("%d requests, want more", n)
	}
}

// A list that cannot be finished is an error, however much has come.
func TestListIsNeverShort(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	var keys []string
	for i := range 1500 {
		keys = append(keys, direct.key(fmt.Sprintf("%04d", i)))
	}
	plantMany(t, direct, keys)
	s, f := behind(t, m, direct)
	n := 0
	f.Do(func(*http.Request) servers.Action {
		if n++; n > 1 {
			return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
		}
		return servers.Action{}
	})
	var last error
	count := 0
	for _, err := range s.List(t.Context(), "") {
		if last = err; err == nil {
			count++
		}
	}
	if !errors.Is(last, fs.ErrPermission) || count != 1000 {
		t.Errorf("List ends after %d names with %v, want 1000 and ErrPermission", count, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count = 0
	for _, err := range direct.List(ctx, "") {
		if count++; count == 10 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("List that is cancelled ends with %v after %d names", last, count)
	}
}

// Keys that nobody can have put are left out, siblings of the location too.
func TestListLeavesOut(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		s.c.prefix = "backup/"
		put(t, s, "b", nil)
		put(t, s, "a/with space%+ü", nil)
		plant(t, s, "backup/dir/", "backup2/sibling", "backup3", "backup/"+hiddenName(), "other")
		if got, want := list(t, s, ""), []string{"a/with space%+ü", "b"}; !slices.Equal(got, want) {
			t.Errorf("List = %q, want %q", got, want)
		}
		s.c.prefix = ""
		want := []string{"backup/a/with space%+ü", "backup/b", "backup2/sibling", "backup3", "other"}
		if got := list(t, s, ""); !slices.Equal(got, want) {
			t.Errorf("List of the whole bucket = %q, want %q", got, want)
		}
	})
}

// A store that lists in another order, or one page twice, is an error.
func TestListOrder(t *testing.T) {
	var got []string
	s := &Store{c: &client{prefix: "p/"}}
	l := &listing{s: s, yield: func(o sdk.Object, _ error) bool {
		got = append(got, o.Name)
		return true
	}}
	for _, key := range []string{"p/A", "p/a", "p/b"} {
		if err := l.object(minio.ObjectInfo{Key: key}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, key := range []string{"p/b", "p/B", "p/a"} {
		if err := l.object(minio.ObjectInfo{Key: key}); err == nil {
			t.Errorf("%s after p/b: no error", key)
		}
	}
	if !slices.Equal(got, []string{"A", "a", "b"}) {
		t.Errorf("yielded %q", got)
	}
}

// Names of every kind are kept as they are.
func TestNames(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		for _, name := range []string{
			"with space", " both ends ", "a+b", "100%", "%2F", "a%20b", "ümlaut", "日本/語", "🦡", "e\u0301", "q?x=1&y#z",
			"tab\tnew\nline", "\x01\x7f", "back\\slash", "a\\..\\b", "a\\.", "[", "[]", "]", "'\"<>&`|\\^{}[]", "~", "*", "...", "..a", "a..", "-", "=", ".hidden", "xl.meta",
			strings.Repeat("l", 200), strings.Repeat("d/", 30) + "e",
		} {
			if err := s.Put(t.Context(), name, strings.NewReader(name)); err != nil {
				t.Errorf("Put(%q): %v", name, err)
				continue
			}
			wantObject(t, s, name, []byte(name))
			if got := list(t, s, name); len(got) != 1 || got[0] != name {
				t.Errorf("List(%q) = %q", name, got)
			}
			if err := s.Delete(t.Context(), name); err != nil {
				t.Errorf("Delete(%q): %v", name, err)
			}
		}
		for _, name := range []string{"", ".", "..", "/a", "a/", "a//b", "a/../b", "nul\x00", "\xff", hidden + "x", "a/" + hidden + "x"} {
			if err := s.Put(t.Context(), name, bytes.NewReader(nil)); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("Put(%q): %v, want ErrInvalid", name, err)
			}
			if err := s.Delete(t.Context(), name); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("Delete(%q): %v, want ErrInvalid", name, err)
			}
		}
		if got := list(t, s, ""); len(got) > 0 {
			t.Errorf("List = %q, want nothing", got)
		}
	})
}
