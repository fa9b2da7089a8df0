package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// Delete removes an object, and the parts of unfinished uploads of that name. On
// a bucket with versions the object is hidden and its versions stay. One that is
// locked is not hidden either: whoever locks objects wants to see them.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.locked(ctx, name); err != nil {
		return err
	}
	err := s.c.core.RemoveObject(ctx, s.c.bucket, s.key(name), minio.RemoveObjectOptions{})
	if code, status := code(err); code == minio.NoSuchKey || status == http.StatusNotFound && code != minio.NoSuchBucket {
		err = nil
	}
	if err != nil {
		return s.fail(ctx, name, err)
	}
	s.endUploads(ctx, name, 0)
	return ctx.Err()
}

// locks knows whether objects of the bucket may be locked.
type locks struct {
	mu    sync.Mutex
	known bool
	any   bool
}

// mayLock reports whether objects of the bucket may be locked.
func (s *Store) mayLock(ctx context.Context) bool {
	if s.c.put.Mode != "" {
		return true
	}
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if !s.locks.known {
		enabled, _, _, _, err := s.c.core.GetObjectLockConfig(ctx, s.c.bucket)
		if ctx.Err() != nil || err != nil && errors.Is(s.c.fail("object lock", err), sdk.ErrUnavailable) {
			return false // asked again next time
		}
		s.locks.known = true // if it may not be asked, the store itself refuses what must not be
		s.locks.any = err == nil && enabled == "Enabled"
	}
	return s.locks.any
}

// locked refuses to delete what is locked.
func (s *Store) locked(ctx context.Context, name string) error {
	if !s.mayLock(ctx) {
		return nil
	}
	info, err := s.head(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	until, _ := time.Parse(time.RFC3339, info.Headers.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	switch {
	case info.Headers.Get("X-Amz-Object-Lock-Legal-Hold") == "ON":
		return sdk.WithHint(
			fmt.Errorf("%s: it is locked by a legal hold: %w", name, sdk.ErrPermission),
			"delete it when the legal hold has been taken off")
	case until.After(time.Now()):
		return sdk.WithHint(
			fmt.Errorf("%s: it is locked until %s (%s): %w", name, until.UTC().Format(time.RFC3339),
				info.Headers.Get("X-Amz-Object-Lock-Mode"), sdk.ErrPermission),
			"delete it when its retention is over")
	}
	return nil
}
