package s3store

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what stores tell
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/brock-backup/brock/sdk"
)

// Put sends an object of up to one part in one request, and a larger one in
// parts, each from memory, so that it can be sent again.
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	_, err := s.write(ctx, name, r, condition{})
	return err
}

func (s *Store) write(ctx context.Context, name string, r io.Reader, c condition) (etag string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	hint, _ := sdk.SizeHint(r)
	sizes := newPartSizes(s.c.partSize, hint)
	src := &source{r: r}
	first := &part{number: 1}
	more, err := first.fill(ctx, src, sizes.of(1))
	if err != nil {
		first.free()
		return "", reason(ctx, err)
	}
	w := &writing{s: s, name: name, cond: c, token: rand.Text()}
	if more {
		etag, err = w.parts(ctx, src, first, sizes)
	} else {
		etag, err = w.whole(ctx, first)
	}
	if err != nil {
		return "", reason(ctx, err)
	}
	s.collect(name, more)
	return etag, nil
}

// reason returns a source's failure as the source has it, and the end of ctx as
// such, whatever came of it.
func reason(ctx context.Context, err error) error {
	if e := (sourceError{}); errors.As(err, &e) {
		return e.error
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// A writing is one object on its way. Its token is kept with the object: that is
// how it is recognised when the store's answer was lost.
type writing struct {
	s     *Store
	name  string
	cond  condition
	token string
	size  int64 // bytes

	tried    bool // the store may have the object by now
	verified bool // by the store, with a checksum

	etag func() string // that stores give what is sent, without encryption
}

func (w *writing) key() string { return w.s.key(w.name) }

// options are those of a request that makes an object.
func (w *writing) options() minio.PutObjectOptions {
	opts := w.s.c.options()
	opts.UserMetadata = maps.Clone(opts.UserMetadata)
	if opts.UserMetadata == nil {
		opts.UserMetadata = map[string]string{}
	}
	opts.UserMetadata[tokenKey] = w.token
	if opts.Mode != "" && isHidden(path.Base(w.name)) {
		opts.RetainUntilDate = time.Now().Add(time.Minute) // enough to see that it may be locked
	}
	opts.DisableContentSha256 = true // of minio-go's own making
	return opts
}

// whole sends an object in one request.
func (w *writing) whole(ctx context.Context, p *part) (etag string, err error) {
	defer p.free()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	w.size = p.size
	w.etag = func() string {
		sum := md5.New() //nolint:gosec // it is what stores tell
		for _, b := range p.filled() {
			sum.Write(b)
		}
		return hex.EncodeToString(sum.Sum(nil))
	}
	if w.s.leavesToUs(w.cond, false) {
		if err := w.compare(ctx); err != nil {
			return "", err
		}
	}
	if p.size > 0 {
		buffers.Send(len(p.chunks))
		defer buffers.Send(-len(p.chunks))
	}
	etag, err = w.commit(ctx, func(ctx context.Context) (minio.UploadInfo, error) { return w.once(ctx, p) })
	switch {
	case err == nil:
		w.s.tryConditions(ctx, w, p)
	case ctx.Err() != nil && w.tried:
		w.undo(ctx)
	}
	return etag, err
}

// once is one try.
func (w *writing) once(ctx context.Context, p *part) (minio.UploadInfo, error) {
	a := w.s.use()
	info, err := w.request(ctx, p, w.s.digest(p, a), w.cond)
	if err != nil && w.s.unknownSum(a, err) {
		a = w.s.use()
		info, err = w.request(ctx, p, w.s.digest(p, a), w.cond)
	}
	return info, err
}

func (w *writing) request(ctx context.Context, p *part, d digest, c condition) (minio.UploadInfo, error) {
	opts := w.options()
	c.set(&opts)
	if h := d.algorithm.header(); h != "" {
		opts.UserMetadata[h] = d.text()
	}
	ctx, stall := watch(ctx)
	defer stall.stop()
	b := &body{filled: p.filled(), moved: stall.moved}
	defer b.end()
	info, err := w.s.c.core.PutObject(ctx, w.s.c.bucket, w.key(), b, p.size, d.md5(), d.sha256, opts)
	if err == nil {
		answer := d.algorithm.answered(info.ChecksumCRC32C, info.ChecksumSHA256)
		w.s.learnSum(d.algorithm, answer)
		w.verified = answer != "" && answer == d.text()
	}
	return info, err
}

// graceTime is how long the request that makes an object visible may go on after
// the Put was cancelled: mostly it is over by then, and nobody need guess.
const graceTime = 2 * time.Second

func grace(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(work, graceTime)
		cancel()
	})
	return work, func() {
		stop()
		cancel()
	}
}

// commit calls do, the request that makes the object visible, until it is known
// whether it did.
func (w *writing) commit(
	ctx context.Context, do func(context.Context) (minio.UploadInfo, error),
) (etag string, err error) {
	work, cancel := grace(ctx)
	defer cancel()
	err = retryRefused(ctx, func() error {
		w.tried = true
		info, err := do(work)
		etag = info.ETag
		if err != nil {
			return w.settle(work, err, &etag)
		}
		return w.check(work, &etag)
	})
	return etag, err
}

// settle finds out what a failed request has done. A request that was refused
// because the object is there may have made it itself: in an earlier try, or in
// one that a proxy in between has sent again.
func (w *writing) settle(ctx context.Context, err error, etag *string) error {
	failed := w.s.fail(ctx, w.name, err)
	no, ended := w.cond.refuses(err), codeOf(err) == minio.NoSuchUpload
	if ctx.Err() != nil || !no && !ended && !errors.Is(failed, sdk.ErrUnavailable) {
		return failed
	}
	info, herr := w.s.head(ctx, w.name)
	switch {
	case herr == nil && info.UserMetadata[tokenName] == w.token:
		*etag = info.ETag
		return w.check(ctx, etag)
	case no && busy(err) && errors.Is(herr, fs.ErrNotExist) && w.cond.create():
		return fmt.Errorf("%s: somebody wrote and removed it at that moment: %w", w.name, sdk.ErrUnavailable)
	case (no || ended) && errors.Is(herr, fs.ErrPermission) && w.listed(ctx, etag):
		return nil
	case no && errors.Is(herr, sdk.ErrUnavailable): // whose object it is will be seen in the next try
		return herr
	case no:
		return w.cond.refusal(w.name)
	case ended:
		return final{fmt.Errorf("%s: somebody has ended the upload: %w", w.name, sdk.ErrUnavailable)}
	}
	return failed
}

// listed reports whether the list shows the object with the size and the digest of
// what was sent: for those who may list and write, and not look at objects. That an
// earlier try was not answered may be known to minio-go alone.
func (w *writing) listed(ctx context.Context, etag *string) bool {
	page, err := w.s.c.core.ListObjectsV2(w.s.c.bucket, w.key(), "", "", "", 1)
	if err != nil || ctx.Err() != nil || len(page.Contents) == 0 {
		return false
	}
	o := page.Contents[0]
	*etag = strings.Trim(o.ETag, `"`)
	return o.Key == w.key() && o.Size == w.size && *etag == w.etag()
}

// check compares the size of what is stored with what was sent, unless the store
// has done so with a checksum. With a version to return it also looks which one
// that is.
func (w *writing) check(ctx context.Context, etag *string) error {
	if w.verified && w.cond.create() {
		return nil
	}
	var info minio.ObjectInfo
	err := retry(ctx, func() (err error) {
		info, err = w.s.head(ctx, w.name)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		w.s.unread.Do(func() {
			sdk.Logger().Warn("these credentials may not look at stored objects, and so their sizes are not compared", "place", w.s.c.place)
		})
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return final{fmt.Errorf("%s: it was stored, and is not there any more: %w", w.name, sdk.ErrUnavailable)}
	case err != nil:
		return final{err}
	case info.UserMetadata[tokenName] != w.token: // it was replaced since
		return nil
	case info.Size != w.size:
		w.undo(ctx)
		if !w.cond.create() {
			w.cond.etag = info.ETag // so that the next try takes its place
		}
		return fmt.Errorf("%s: %d bytes were sent, and the store has %d: %w", w.name, w.size, info.Size, sdk.ErrUnavailable)
	}
	*etag = info.ETag
	return nil
}

// undo removes what this writing has stored, and nothing else. What has taken the
// place of something stays: nobody can bring that back, and without it there
// would be nothing at all.
func (w *writing) undo(ctx context.Context) {
	if !w.cond.create() {
		return
	}
	ctx, cancel := aftermath(ctx)
	defer cancel()
	info, err := w.s.head(ctx, w.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.UserMetadata[tokenName] != w.token {
		return
	}
	if err == nil {
		err = w.s.remove(ctx, w.name, info.VersionID)
	}
	if err != nil {
		sdk.Logger().Warn("what an unsuccessful Put may have left could not be removed", "object", w.name, "error", err)
	}
}

// compare looks whether the condition holds now. It saves a transfer, and stands
// in for a condition that the store ignores.
func (w *writing) compare(ctx context.Context) error {
	info, err := w.s.head(ctx, w.name)
	switch {
	case errors.Is(err, fs.ErrPermission): // whoever may only write is told by the request itself
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if w.cond.create() {
			return nil
		}
		return w.cond.refusal(w.name)
	case err != nil:
		return err
	case info.ETag != w.cond.etag || w.cond.create():
		return w.cond.refusal(w.name)
	}
	return nil
}

// customerKey returns the SSE-C key, which goes with every request.
func customerKey(sse encrypt.ServerSide) encrypt.ServerSide {
	if sse != nil && sse.Type() == encrypt.SSEC {
		return sse
	}
	return nil
}
