package s3store

import (
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
