package s3store

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"regexp"
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
// found below the prefix, and those of an object that was sent in parts: there are
// stores that find them by their whole key only.
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
// that are at least so old by this host's clock, and have got no part since. It is
// not what a caller has asked for, and so a failure is none of his.
func (s *Store) endUploads(ctx context.Context, name string, age time.Duration) {
	if s.c.abortAfter <= 0 || s.old.denied.Load() {
		return
	}
	err := s.uploads(ctx, name, func(u minio.ObjectMultipartInfo) error {
		if _, mine := underWay.Load(u.UploadID); mine || age > 0 && time.Since(u.Initiated) < age {
			return nil
		}
		if name == "" && s.c.prefix == "" && !backups.MatchString(u.Key) || age > 0 && s.grows(ctx, u, age) {
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

// backups matches the keys of what hosts store. A location without a prefix may share
// its bucket with somebody whose uploads are nobody else's business.
var backups = regexp.MustCompile(`^(\.?brock[-/]|dgraph\.[0-9])`)

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
	if name != "" {
		_, err := s.uploadsBelow(ctx, s.key(name), math.MaxInt, func(u minio.ObjectMultipartInfo) error {
			if u.Key != s.key(name) {
				return nil
			}
			return f(u)
		})
		return err
	}
	told, err := s.uploadsBelow(ctx, s.c.prefix, math.MaxInt, f)
	if err != nil || told > 0 || s.c.prefix == "" || s.c.t != nil && (amazon(s.c.t.host) || isGoogle(s.c.t.host)) {
		return err
	}
	// MinIO takes the prefix for a whole key, and tells of all uploads without one.
	told, err = s.uploadsBelow(ctx, "", foreignPages, f)
	if told == 0 && errors.Is(err, fs.ErrPermission) { // to look outside of the prefix
		return nil
	}
	return err
}

// foreignPages is how many answers about uploads of the whole bucket are read, of
// up to 1000 uploads each: they may all be somebody else's.
const foreignPages = 20

// uploadsBelow lists unfinished uploads, calls f with those within the location,
// and returns how many the store has told of.
func (s *Store) uploadsBelow(ctx context.Context, prefix string, pages int, f func(minio.ObjectMultipartInfo) error) (told int, err error) {
	var key, id string
	for range pages {
		page, err := s.c.core.ListMultipartUploads(ctx, s.c.bucket, prefix, key, id, "", 0)
		if err != nil {
			return told, s.fail(ctx, "unfinished uploads", err)
		}
		for _, u := range page.Uploads {
			told++
			if !strings.HasPrefix(u.Key, s.c.prefix) {
				continue
			}
			if err := f(u); err != nil {
				return told, err
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			break
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return told, nil
}
