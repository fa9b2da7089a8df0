package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// What a Replace has replaced nobody can bring back. So what it has stored stays
// when it is cancelled and never hears of it: else there would be nothing at all.
func TestReplaceCancelledAtTheEnd(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	for _, size := range []int{1000, smallPart + 1} {
		put(t, direct, "master", pattern(10))
		version, err := direct.Version(t.Context(), "master")
		if err != nil {
			t.Fatal(err)
		}
		s, f := behind(t, m, direct)
		s.tryMatch(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stored bool
		f.Do(func(r *http.Request) servers.Action {
			switch {
			case r.Method == http.MethodPut && r.URL.RawQuery == "", r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
				stored = true
				return servers.Action{Lose: true}
			case stored && r.Method == http.MethodHead && ctx.Err() == nil:
				cancel()
				return servers.Action{Delay: 2 * graceTime}
			}
			return servers.Action{}
		})
		if _, err := s.Replace(ctx, "master", bytes.NewReader(pattern(size)), version); !errors.Is(err, context.Canceled) {
			t.Errorf("Replace that is cancelled: %v; want that it says so", err)
		}
		wantObject(t, direct, "master", pattern(size))
		if err := direct.Delete(t.Context(), "master"); err != nil {
			t.Fatal(err)
		}
	}
}

// A store that is away for a while, when it is to say whose object it has, is
// asked again: neither is the Put given up, nor its object taken for another's.
func TestStoreAwayAtTheEnd(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	for name, lost := range map[string]bool{"answered": false, "lost": true} {
		for _, size := range []int{1000, smallPart + 1} {
			s, f := behind(t, m, direct)
			var stored, away int
			f.Do(func(r *http.Request) servers.Action {
				switch {
				case r.Method == http.MethodPut && r.URL.RawQuery == "", r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
					stored++
					return servers.Action{Lose: lost && stored == 1}
				case stored > 0 && r.Method == http.MethodHead && away < 7: // more than minio-go's own tries
					away++
					return servers.SlowDown
				}
				return servers.Action{}
			})
			name := fmt.Sprintf("%s/%d", name, size)
			put(t, s, name, pattern(size))
			wantObject(t, direct, name, pattern(size))
			if away == 0 && (lost || size > smallPart) {
				t.Errorf("%s: the store was not asked", name)
			}
		}
	}
}

// A proxy may have sent a request again that had been successful, and then the
// answer to the first try is a refusal.
func TestRefusalOfWhatWasSentTwice(t *testing.T) {
	s := onMinIO(t)
	data := pattern(1000)
	w := &writing{s: s, name: "twice", token: "token", size: int64(len(data))}
	p := &part{number: 1, size: w.size, chunks: [][]byte{data}}
	if _, err := w.once(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.commit(t.Context(), func(ctx context.Context) (minio.UploadInfo, error) { return w.once(ctx, p) }); err != nil {
		t.Errorf("the same Put again: %v; want success", err)
	}
	w.token = "another"
	if _, err := w.commit(t.Context(), func(ctx context.Context) (minio.UploadInfo, error) { return w.once(ctx, p) }); !errors.Is(err, sdk.ErrExist) {
		t.Errorf("another Put: %v; want ErrExist", err)
	}
}

// As long as it is not known that the store honours If-Match, it is looked before
// an object is replaced.
func TestReplaceWhereNothingIsKnown(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	s, f := behind(t, m, direct)
	put(t, direct, "master", pattern(10))
	var tried, written int
	f.Do(func(r *http.Request) servers.Action {
		switch {
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, hidden):
			tried++
			return servers.SlowDown
		case r.Method == http.MethodPut:
			written++
		}
		return servers.Action{}
	})
	if _, err := s.Replace(t.Context(), "master", strings.NewReader("new"), "stale"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("Replace of another version: %v; want ErrConflict", err)
	}
	if tried == 0 || written != 0 {
		t.Errorf("%d times it was tried whether the store honours If-Match, %d times something was sent; want once at least, and never", tried, written)
	}
}
