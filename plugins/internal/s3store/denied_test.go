package s3store

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// A MinIO says now and then that access is denied where it is not. Said four times,
// it is believed.
func TestDeniedForAMoment(t *testing.T) {
	m := servers.MinIO(t)
	direct := store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{}))
	s, fault := behind(t, m, direct)
	var puts, denials atomic.Int64
	fault.Do(func(r *http.Request) servers.Action {
		if r.Method == http.MethodPut && puts.Add(1) <= denials.Load() {
			return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
		}
		return servers.Action{}
	})
	denials.Store(2)
	if err := s.Put(t.Context(), "moment", strings.NewReader("x")); err != nil {
		t.Errorf("denied twice: %v", err)
	}
	puts.Store(0)
	denials.Store(100)
	if err := s.Put(t.Context(), "always", strings.NewReader("x")); !errors.Is(err, fs.ErrPermission) || puts.Load() < 4 {
		t.Errorf("denied for good, after %d tries: %v; want ErrPermission", puts.Load(), err)
	}
}

// Whoever may list and write, and not look at objects, recognises his own one by the
// list when the store's answer was lost; and nobody else's.
func TestLostAnswerWhereObjectsMayNotBeLookedAt(t *testing.T) {
	several(t, func(t *testing.T, m servers.S3, direct *Store) {
		if m.Secure {
			t.Skip("the proxy does not see into TLS")
		}
		for name, size := range map[string]int{"small": 100, "large": smallPart + 1} {
			s, fault := behind(t, m, direct)
			var lost atomic.Bool
			fault.Do(func(r *http.Request) servers.Action {
				q := r.URL.Query()
				commits := r.Method == http.MethodPut && !q.Has("uploadId") || r.Method == http.MethodPost && q.Has("uploadId")
				switch {
				case r.Method == http.MethodHead:
					return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
				case commits && lost.CompareAndSwap(false, true):
					return servers.Action{Lose: true}
				}
				return servers.Action{}
			})
			if err := s.Put(t.Context(), name, bytes.NewReader(pattern(size))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantObject(t, direct, name, pattern(size))

			put(t, direct, name+"-taken", pattern(size+1))
			lost.Store(false)
			if err := s.Put(t.Context(), name+"-taken", bytes.NewReader(pattern(size))); !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s, somebody else's: %v; want ErrExist", name, err)
			}
			wantObject(t, direct, name+"-taken", pattern(size+1))
		}
	})
}
