package s3store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

// Stores say now and then that access is denied, or a name is a folder, where it is not
// so. Said four times, it is believed.
func TestRefusedForAMoment(t *testing.T) {
	m := servers.MinIO(t)
	direct := store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{}))
	for name, c := range map[string]struct {
		said servers.Action
		want error
	}{
		"denied": {servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}, sdk.ErrPermission},
		"folder": {servers.Action{Status: http.StatusConflict, Code: "ExistingObjectIsDirectory"}, sdk.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, fault := behind(t, m, direct)
			var puts, refusals atomic.Int64
			fault.Do(func(r *http.Request) servers.Action {
				if r.Method == http.MethodPut && puts.Add(1) <= refusals.Load() {
					return c.said
				}
				return servers.Action{}
			})
			refusals.Store(2)
			if err := s.Put(t.Context(), name+"/moment", strings.NewReader("x")); err != nil {
				t.Errorf("refused twice: %v", err)
			}
			puts.Store(0)
			refusals.Store(100)
			if err := s.Put(t.Context(), name+"/always", strings.NewReader("x")); !errors.Is(err, c.want) || puts.Load() < 4 {
				t.Errorf("refused for good, after %d tries: %v; want %v", puts.Load(), err, c.want)
			}
		})
	}
}

// Writers share a folder that is gone whenever none of them has an object there.
func TestFolderThatComesAndGoes(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 100 {
					name := fmt.Sprintf("comes/goes/%d-%d", w, i)
					if err := s.Put(t.Context(), name, strings.NewReader("x")); err != nil {
						t.Errorf("Put: %v", err)
						return
					}
					if err := s.Delete(t.Context(), name); err != nil {
						t.Errorf("Delete: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
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
