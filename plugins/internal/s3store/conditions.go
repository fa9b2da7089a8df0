package s3store

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// A condition is under which an object may be written: "" if there is none of
// that name, or else that this is its ETag.
type condition struct {
	etag    string
	replace bool // asked by Replace
	always  bool // whatever is there; only what a probe has written is
}

func (c condition) create() bool { return c.etag == "" && !c.always }

func (c condition) set(opts *minio.PutObjectOptions) {
	switch {
	case c.always:
	case c.create():
		opts.SetMatchETagExcept("*")
	default:
		opts.SetMatchETag(c.etag)
	}
}

// refuses reports whether err says that the condition does not hold.
func (c condition) refuses(err error) bool {
	code, status := code(err)
	switch {
	case status == http.StatusPreconditionFailed, code == minio.PreconditionFailed, busy(err):
		return true
	case status == http.StatusNotFound, code == minio.NoSuchKey: // said of a version of what is not there
		return !c.create() && code != minio.NoSuchBucket && code != minio.NoSuchUpload
	}
	return false
}

// refusal is what the caller is told then.
func (c condition) refusal(name string) error {
	if c.replace {
		return fmt.Errorf("%s: %w", name, sdk.ErrConflict)
	}
	return fmt.Errorf("%s: %w", name, sdk.ErrExist)
}

// busy reports whether somebody else wrote the object at that very moment.
func busy(err error) bool {
	code, status := code(err)
	return code == "ConditionalRequestConflict" || status == http.StatusConflict && code == "OperationAborted"
}

// A verdict is whether a store honours a kind of condition.
type verdict struct{ v atomic.Int32 }

const (
	unknown int32 = iota
	honoured
	ignored
)

func (v *verdict) String() string {
	return [...]string{"not tried yet", "honoured", "ignored"}[v.v.Load()]
}

// conditions is what is known of the store's. It is found out by trying, on
// objects of our own.
type conditions struct {
	once      sync.Once
	onceMatch sync.Once

	single    verdict // If-None-Match of an object sent at once
	multipart verdict // the same, of one sent in parts
	match     verdict // If-Match
}

// found takes note of how a request ended that had to be refused, and says so
// if that weakens a promise.
func (s *Store) found(v *verdict, what string, c condition, err error) {
	switch {
	case err == nil:
		if v.v.Swap(ignored) != ignored {
			sdk.Logger().Warn("the store ignores a condition: of two hosts that write one name at the same moment, the later one wins",
				"place", s.c.place, "condition", what)
		}
	case c.refuses(err):
		v.v.CompareAndSwap(unknown, honoured)
	default:
		sdk.Logger().Debug("whether the store honours a condition could not be found out", "condition", what, "error", s.c.fail(what, err))
	}
}

// leavesToUs reports whether the condition must be looked at before the request,
// since the store does not, or may not.
func (s *Store) leavesToUs(c condition, inParts bool) bool {
	switch {
	case !c.create() && s.cond.match.v.Load() != honoured:
		return true
	case inParts:
		return s.cond.multipart.v.Load() != honoured
	}
	return c.create() && s.cond.single.v.Load() == ignored
}

const (
	saysSingle    = "If-None-Match"
	saysMultipart = "If-None-Match at the end of a multipart upload"
	saysMatch     = "If-Match"
)

// tryConditions finds out whether the store honours conditions, once, when the
// first small object has been written. The same bytes are offered again under
// the same name: that must be refused, and a store that does not refuse keeps
// what it has. It is done before Put returns: later somebody might have deleted
// the object.
func (s *Store) tryConditions(ctx context.Context, w *writing, p *part) {
	if p.size == 0 || p.size > chunkSize || !w.cond.create() {
		return
	}
	s.cond.once.Do(func() {
		s.again(ctx, w, p)
		s.inOnePart(ctx, w, p)
	})
}

func (s *Store) again(ctx context.Context, w *writing, p *part) {
	again := &writing{s: s, name: w.name, token: w.token}
	info, err := again.request(ctx, p, s.digest(p, s.use()), again.cond)
	s.found(&s.cond.single, saysSingle, again.cond, err)
	s.drop(ctx, w.name, info.VersionID, err)
}

func (s *Store) inOnePart(ctx context.Context, w *writing, p *part) {
	again := &writing{s: s, name: w.name, token: w.token}
	u, err := again.begin(ctx)
	if err == nil {
		defer u.end()
		one := &sent{}
		u.parts = append(u.parts, one)
		if err = u.send(ctx, &part{number: 1, size: p.size, chunks: p.chunks}, one); err == nil {
			var info minio.UploadInfo
			info, err = u.finish(ctx)
			s.found(&s.cond.multipart, saysMultipart, u.cond, err)
			s.drop(ctx, w.name, info.VersionID, err)
		}
		if err != nil && !u.abort(ctx) && isHidden(path.Base(w.name)) {
			u.absorb(ctx)
		}
	}
}

// absorb makes an upload that may not be ended the object of a probe, which has
// the same bytes, and is deleted: there is nothing else that would remove it.
func (u *upload) absorb(ctx context.Context) {
	u.cond = condition{always: true}
	info, err := u.finish(ctx)
	u.s.drop(ctx, u.name, info.VersionID, err)
	if err == nil {
		u.s.endless.Add(-1)
	}
}

// drop removes the surplus version that a store without conditions has made.
func (s *Store) drop(ctx context.Context, name, version string, err error) {
	if err == nil && version != "" {
		_ = s.c.core.RemoveObject(ctx, s.c.bucket, s.key(name), minio.RemoveObjectOptions{VersionID: version})
	}
}

// tryMatch finds out whether the store honours If-Match, by writing an object
// that is not there under a version that never was. A store that refuses has
// nothing to be removed.
func (s *Store) tryMatch(ctx context.Context) {
	s.cond.onceMatch.Do(func() {
		w := &writing{s: s, name: hiddenName(), token: hiddenName(), cond: condition{etag: strings.Repeat("0", 32)}}
		p := &part{number: 1}
		info, err := w.request(ctx, p, s.digest(p, s.use()), w.cond)
		s.found(&s.cond.match, saysMatch, w.cond, err)
		if err == nil {
			ctx, cancel := aftermath(ctx)
			defer cancel()
			_ = s.remove(ctx, w.name, info.VersionID)
		}
	})
}
