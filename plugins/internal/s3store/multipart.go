package s3store

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what stores tell
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/brock-backup/brock/sdk"
)

// inMemory is how many parts of an object there are at once: on their way, or
// being filled.
const inMemory = 3

// An upload is an object that is sent in parts.
type upload struct {
	*writing
	id    string
	sum   algorithm
	parts []*sent
}

// A sent is a part that the store has.
type sent struct {
	etag string
	sum  digest
}

// parts sends an object in parts.
func (w *writing) parts(ctx context.Context, src *source, first *part, sizes partSizes) (etag string, err error) {
	if err := w.compare(ctx); err != nil { // and save the transfer
		first.free()
		return "", err
	}
	u, err := w.begin(ctx)
	if err != nil {
		first.free()
		return "", err
	}
	defer func() { u.end() }()
	if err = u.settleSum(ctx, first); err != nil {
		first.free()
	} else if err = u.transfer(ctx, src, first, sizes); err == nil {
		etag, err = u.complete(ctx)
	}
	if err != nil {
		u.abort(ctx)
		if u.tried && ctx.Err() != nil {
			u.undo(ctx)
		}
	}
	return etag, err
}

func (w *writing) begin(ctx context.Context) (*upload, error) {
	u := &upload{writing: w, sum: w.s.use()}
	err := retry(ctx, func() (err error) {
		u.id, err = u.initiate(ctx)
		if err != nil && w.s.unknownSum(u.sum, err) {
			u.sum = w.s.use()
			u.id, err = u.initiate(ctx)
		}
		return w.s.fail(ctx, w.name, err)
	})
	if err == nil {
		underWay.Store(u.id, true)
	}
	return u, err
}

func (u *upload) initiate(ctx context.Context) (string, error) {
	opts := u.options()
	switch u.sum {
	case sumCRC32C:
		opts.UserMetadata[algorithmHeader] = "CRC32C"
	case sumSHA256:
		opts.UserMetadata[algorithmHeader] = "SHA256"
	case undecided, sumMD5, sumNone:
	}
	return u.s.c.core.NewMultipartUpload(ctx, u.s.c.bucket, u.key(), opts)
}

const algorithmHeader = "x-amz-checksum-algorithm"

// settleSum sends the first part before all others if it is not known which
// checksum the store takes: an upload is begun with one, and keeps to it.
func (u *upload) settleSum(ctx context.Context, first *part) error {
	if u.sum != sumCRC32C || !u.s.sums.open(u.s.c) {
		return nil
	}
	buffers.Send(len(first.chunks))
	defer buffers.Send(-len(first.chunks))
	part := &sent{}
	err := retry(ctx, func() error { return u.send(ctx, first, part) })
	if err == nil {
		u.parts = append(u.parts, part)
	}
	if err == nil || u.s.use() == u.sum {
		return err
	}
	u.abort(ctx)
	u.end()
	again, err := u.begin(ctx)
	u.id, u.sum = again.id, again.sum
	return err
}

// underWay has the ids of this process's uploads: they are no leftovers, however
// long they take.
var underWay sync.Map

func (u *upload) end() { underWay.Delete(u.id) }

// transfer sends the parts. When it returns, none is on its way any more.
func (u *upload) transfer(ctx context.Context, src *source, first *part, sizes partSizes) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, sending := errgroup.WithContext(ctx)
	err := u.feed(sending, g, src, first, sizes)
	if err != nil {
		cancel()
	}
	if failed := g.Wait(); failed != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return failed // which is what ended the feeding
	}
	return err
}

// feed fills one part after the other and launches them.
func (u *upload) feed(ctx context.Context, g *errgroup.Group, src *source, p *part, sizes partSizes) error {
	free := make(chan struct{}, inMemory)
	for range inMemory - 1 {
		free <- struct{}{}
	}
	for more := true; ; {
		u.launch(ctx, g, p, free)
		if !more {
			return nil
		}
		if p.number == maxParts {
			return fmt.Errorf("%s: more than %d bytes: %w", u.name, u.size, sdk.ErrInvalid)
		}
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		p = &part{number: p.number + 1}
		var err error
		if more, err = p.fill(ctx, src, sizes.of(p.number)); err != nil {
			p.free()
			return err
		}
	}
}

// launch sends a part in the background, and tells free when it is gone.
func (u *upload) launch(ctx context.Context, g *errgroup.Group, p *part, free chan<- struct{}) {
	u.size += p.size
	if len(u.parts) < p.number {
		u.parts = append(u.parts, &sent{})
	}
	part := u.parts[p.number-1]
	buffers.Send(len(p.chunks))
	g.Go(func() error {
		defer func() {
			buffers.Sent(p.chunks)
			free <- struct{}{}
		}()
		return retry(ctx, func() error { return u.send(ctx, p, part) })
	})
}

// send is one try to send a part.
func (u *upload) send(ctx context.Context, p *part, part *sent) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if part.etag != "" { // sent already
		return nil
	}
	d := u.s.digest(p, u.sum)
	info, err := u.request(ctx, p, d)
	if err == nil {
		u.s.learnSum(d.algorithm, d.algorithm.answered(info.ChecksumCRC32C, info.ChecksumSHA256))
		part.etag, part.sum = info.ETag, d
		return nil
	}
	failed := u.s.fail(ctx, u.name, err)
	if u.s.unknownSum(u.sum, err) {
		return final{failed}
	}
	if codeOf(err) == minio.NoSuchUpload && ctx.Err() == nil {
		return final{fmt.Errorf("%s: somebody has ended the upload: %w: %w", u.name, sdk.ErrUnavailable, failed)}
	}
	return failed
}

func (u *upload) request(ctx context.Context, p *part, d digest) (minio.ObjectPart, error) {
	opts := minio.PutObjectPartOptions{
		Md5Base64: d.md5(), Sha256Hex: d.sha256, DisableContentSha256: true, SSE: customerKey(u.s.c.sse),
	}
	if h := d.algorithm.header(); h != "" {
		opts.CustomHeader = http.Header{}
		opts.CustomHeader.Set(h, d.text())
	}
	ctx, stall := watch(ctx)
	defer stall.stop()
	b := &body{filled: p.filled(), moved: stall.moved}
	defer b.end()
	return u.s.c.core.PutObjectPart(ctx, u.s.c.bucket, u.key(), u.id, p.number, b, p.size, opts)
}

// complete makes the object visible.
func (u *upload) complete(ctx context.Context) (etag string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if u.s.leavesToUs(u.cond, true) {
		if err := u.compare(ctx); err != nil {
			return "", err
		}
	}
	u.etag = func() string {
		sum := md5.New() //nolint:gosec // it is what stores tell
		for _, p := range u.parts {
			part, err := hex.DecodeString(strings.Trim(p.etag, `"`))
			if err != nil {
				return "none that is known"
			}
			sum.Write(part)
		}
		return fmt.Sprintf("%x-%d", sum.Sum(nil), len(u.parts))
	}
	return u.commit(ctx, u.finish)
}

// finish is the request that makes an object of the parts.
func (u *upload) finish(ctx context.Context) (minio.UploadInfo, error) {
	opts := minio.PutObjectOptions{UserMetadata: map[string]string{}, ServerSideEncryption: customerKey(u.s.c.sse)}
	u.cond.set(&opts)
	var sums []digest
	parts := make([]minio.CompletePart, len(u.parts))
	for i, p := range u.parts {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: p.etag}
		if p.sum.algorithm == u.sum {
			p.sum.add(&parts[i])
			sums = append(sums, p.sum)
		}
	}
	if h := u.sum.header(); h != "" && len(sums) == len(parts) {
		opts.UserMetadata[h] = u.sum.whole(sums)
	}
	return u.s.c.core.CompleteMultipartUpload(ctx, u.s.c.bucket, u.key(), u.id, parts, opts)
}

// abort removes the parts, whatever has become of ctx. It reports whether that
// was permitted.
func (u *upload) abort(ctx context.Context) bool {
	if u.id == "" { // a store might take that for the object itself
		return true
	}
	ctx, cancel := aftermath(ctx)
	defer cancel()
	err := retry(ctx, func() error {
		return u.s.fail(ctx, u.name, u.s.c.core.AbortMultipartUpload(ctx, u.s.c.bucket, u.key(), u.id))
	})
	if err != nil {
		sdk.Logger().Debug("an upload that failed could not be ended", "object", u.name, "upload", u.id, "error", err)
	}
	if !errors.Is(err, fs.ErrPermission) {
		return true
	}
	u.s.bound.Store(true)
	u.s.endless.Add(1)
	return false
}
