package s3store

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// leftovers are uploads whose writers have died. Nobody sees them, but they are
// paid for.
type leftovers struct {
	once   sync.Once
	denied atomic.Bool // whoever may not list uploads is not asked again
}

// collect ends old uploads, after a Put has succeeded: once all that can be
// found below the prefix, and those of an object that was sent in parts. There
// are stores that find them by their whole key only.
func (s *Store) collect(name string, inParts bool) {
	if s.c.abortAfter <= 0 || s.background.Err() != nil {
		return
	}
	if inParts {
		s.collecting.Go(func() { s.endUploads(s.background, name, s.c.abortAfter) })
	}
	s.old.once.Do(func() {
		s.collecting.Go(func() { s.endUploads(s.background, "", s.c.abortAfter) })
	})
}

// endUploads ends unfinished uploads of one object, or of all with the name "",
// that are at least so old by this host's clock, and have got no part since. It is not what a caller has
// asked for, and so a failure is none of his.
func (s *Store) endUploads(ctx context.Context, name string, age time.Duration) {
	if s.c.abortAfter <= 0 || s.old.denied.Load() {
		return
	}
	err := s.uploads(ctx, name, func(u minio.ObjectMultipartInfo) error {
		if _, mine := underWay.Load(u.UploadID); mine || age > 0 && time.Since(u.Initiated) < age {
			return nil
		}
		if age > 0 && s.grows(ctx, u, age) {
			return nil
		}
		err := s.c.core.AbortMultipartUpload(ctx, s.c.bucket, u.Key, u.UploadID)
		if err == nil {
			sdk.Logger().Info("an upload that was left unfinished is removed", "key", u.Key, "begun", u.Initiated)
		}
		if codeOf(err) == minio.NoSuchUpload {
			return nil
		}
		return s.fail(ctx, u.Key, err)
	})
	if err != nil && ctx.Err() == nil {
		if errors.Is(err, fs.ErrPermission) {
			s.old.denied.Store(true)
		}
		sdk.Logger().Debug("unfinished uploads could not be removed", "place", s.c.place, "error", err)
	}
}

// grows reports whether an upload has got a part within that time, and so has a
// writer: a large object takes long. If that may not be asked, the upload's own age
// must do.
func (s *Store) grows(ctx context.Context, u minio.ObjectMultipartInfo, age time.Duration) bool { //nolint:gocritic // as minio-go has it
	for marker := 0; ; {
		page, err := s.c.core.ListObjectParts(ctx, s.c.bucket, u.Key, u.UploadID, marker, 0)
		if err != nil {
			return codeOf(err) != minio.NoSuchUpload && errors.Is(s.fail(ctx, u.Key, err), sdk.ErrUnavailable)
		}
		for _, p := range page.ObjectParts {
			if time.Since(p.LastModified) < age {
				return true
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return false
		}
		marker = page.NextPartNumberMarker
	}
}

// uploads calls f with every unfinished upload of one object, or of all below
// the prefix with the name "", as far as the store tells.
func (s *Store) uploads(ctx context.Context, name string, f func(minio.ObjectMultipartInfo) error) error {
	prefix := s.c.prefix
	if name != "" {
		prefix = s.key(name)
	}
	var key, id string
	for {
		page, err := s.c.core.ListMultipartUploads(ctx, s.c.bucket, prefix, key, id, "", 0)
		if err != nil {
			return s.fail(ctx, "unfinished uploads", err)
		}
		for _, u := range page.Uploads {
			if !strings.HasPrefix(u.Key, s.c.prefix) || name != "" && u.Key != prefix {
				continue
			}
			if err := f(u); err != nil {
				return err
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return nil
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
