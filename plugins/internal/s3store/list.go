package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptrace"
	"path"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// List reads page after page. What it yields it has compared with what came
// before: a store that lists in another order, or one page twice, is an error.
// Keys that can be no names, those of "directories" say, are left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(sdk.Object{}, err)
			return
		}
		l := &listing{s: s, prefix: prefix, yield: yield}
		var done bool
		err := retry(ctx, func() error {
			before := l.last
			err := l.run(ctx)
			done = l.over
			if err != nil && l.last == before && before == "" {
				return final{err} // the host asks again
			}
			return err
		})
		if last := (final{}); errors.As(err, &last) {
			err = last.error
		}
		if err != nil && !done {
			yield(sdk.Object{}, err)
		}
	}
}

// checkPrefix refuses what no name can begin with.
func checkPrefix(prefix string) error {
	dir, _ := path.Split(prefix)
	if dir == "" || valid(strings.TrimSuffix(dir, "/")) {
		return nil
	}
	return fmt.Errorf("prefix %q: %w", prefix, sdk.ErrInvalid)
}

// A listing yields objects. When it is run again, it goes on where it was.
type listing struct {
	s      *Store
	prefix string
	yield  func(sdk.Object, error) bool

	last string // key that came last
	over bool   // nobody wants more
}

// emptyPages is how many answers without a key a store may give in a row.
const emptyPages = 1000

var errEmptyPages = errors.New("the store promises more, and tells nothing, again and again")

func (l *listing) run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var empty atomic.Int32
	work = httptrace.WithClientTrace(work, &httptrace.ClientTrace{WroteHeaders: func() {
		if empty.Add(1) > emptyPages {
			cancel(errEmptyPages)
		}
	}})
	owner := false
	opts := minio.ListObjectsOptions{Prefix: l.s.key(l.prefix), Recursive: true, StartAfter: l.last, FetchOwner: &owner}
	for o := range l.s.c.core.ListObjectsIter(work, l.s.c.bucket, opts) {
		empty.Store(0)
		if o.Err != nil {
			return l.fail(ctx, work, o.Err)
		}
		if err := l.object(o); err != nil {
			return err
		}
		if l.over {
			return nil
		}
	}
	return l.fail(ctx, work, work.Err())
}

func (l *listing) fail(ctx, work context.Context, err error) error {
	if err != nil && ctx.Err() == nil && work.Err() != nil {
		return fmt.Errorf("list of %s: %w", l.s.c.place, context.Cause(work))
	}
	return l.s.fail(ctx, "list of "+l.s.c.place, err)
}

func (l *listing) object(o minio.ObjectInfo) error {
	if o.Key <= l.last && l.last != "" {
		return fmt.Errorf("list of %s: the store lists %q after %q, and not in the order of bytes: %w",
			l.s.c.place, o.Key, l.last, sdk.ErrUnsupported)
	}
	l.last = o.Key
	key, ours := strings.CutPrefix(o.Key, l.s.c.prefix)
	name, ok := objectName(key)
	if !ours || !ok || !strings.HasPrefix(name, l.prefix) || !valid(name) {
		return nil
	}
	l.over = !l.yield(sdk.Object{Name: name, Size: o.Size}, nil)
	return nil
}

// present returns an error if the bucket is not there. Only whoever asks for the
// head of an object need know: such an answer says no more than "404".
func (s *Store) present(ctx context.Context) error {
	if s.seen.Load() {
		return nil
	}
	there, err := s.c.core.BucketExists(ctx, s.c.bucket)
	switch {
	case err != nil:
		err = s.fail(ctx, "bucket "+s.c.bucket, err)
		if errors.Is(err, fs.ErrPermission) { // it is there, then
			return nil
		}
		return err
	case !there:
		return s.fail(ctx, s.c.place, minio.ErrorResponse{
			Code: minio.NoSuchBucket, BucketName: s.c.bucket, StatusCode: http.StatusNotFound, Message: "the bucket does not exist",
		})
	}
	s.seen.Store(true)
	return nil
}
