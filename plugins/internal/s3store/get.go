package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

const (
	// firstRange is what the first request asks for: many readers want a block
	// and no more.
	firstRange = 1 << 20 // bytes

	// rangeSize is what every further one asks for.
	rangeSize = 8 << 20 // bytes

	// readAhead is how many ranges are fetched while another one is being read.
	readAhead = 2
)

// Get reads an object in ranges, of which some are fetched ahead. All of them are
// of the version that the first one was of.
func (s *Store) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("%s: offset %d: %w", name, offset, sdk.ErrInvalid)
	}
	r := &reader{s: s, name: name, begin: offset, pos: offset, size: -1}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if err := r.open(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// A reader yields an object from begin to its end.
type reader struct {
	s      *Store
	name   string
	ctx    context.Context //nolint:containedctx // of the whole reading
	cancel context.CancelFunc

	etag  string
	size  int64 // of the object
	begin int64
	pos   int64 // what is read next
	next  int64 // what is asked for next

	now      *stretch // the range that is read as it comes, or nil
	ahead    []*fetch // the ranges behind it
	fetching sync.WaitGroup
	err      error
}

// open asks for the first range. An object that ends at the offset, or before
// it, has none.
func (r *reader) open() error {
	r.now = &stretch{r: r, pos: r.pos, end: r.pos + firstRange}
	err := r.now.open(r.ctx)
	if err == nil {
		r.next = r.now.end
		return nil
	}
	if c, status := code(err); c != minio.InvalidRange && status != http.StatusRequestedRangeNotSatisfiable {
		return err
	}
	info, err := r.s.head(r.ctx, r.name)
	if err != nil {
		return err
	}
	if r.pos != info.Size {
		return fmt.Errorf("%s: offset %d in %d bytes: %w", r.name, r.pos, info.Size, sdk.ErrInvalid)
	}
	r.now, r.next, r.size = nil, info.Size, info.Size
	return nil
}

func (r *reader) Read(p []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for n == 0 && err == nil {
		n, err = r.read(p)
	}
	r.pos += int64(n)
	r.err = err
	return n, err
}

// read returns 0 and no error at the end of a range.
func (r *reader) read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.pos == r.size {
		return 0, io.EOF
	}
	if r.pos-r.begin >= firstRange/2 { // whoever has read so much wants more
		r.fetchAhead()
	}
	switch {
	case r.now != nil:
		n, err := r.now.read(r.ctx, p)
		if r.now.pos == r.now.end {
			r.now.close()
			r.now = nil
		}
		return n, err
	case len(r.ahead) > 0:
		n, err := r.ahead[0].read(r.ctx, p)
		if err == io.EOF { //nolint:errorlint // that of fetch.read
			r.ahead, err = r.ahead[1:], nil
		}
		return n, err
	}
	r.now = &stretch{r: r, pos: r.pos, end: min(r.pos+rangeSize, r.size)}
	r.next = r.now.end
	return 0, nil
}

// fetchAhead begins to fetch ranges as far as there is memory.
func (r *reader) fetchAhead() {
	for len(r.ahead) < readAhead && r.next < r.size {
		end := min(r.next+rangeSize, r.size)
		chunks := buffers.TryTake(int((end - r.next + chunkSize - 1) / chunkSize))
		if chunks == nil {
			return
		}
		f := &fetch{r: r, end: end, chunks: chunks, ready: make(chan []byte, len(chunks))}
		from := r.next
		r.next = end
		r.ahead = append(r.ahead, f)
		r.fetching.Go(func() { f.run(r.ctx, from) })
	}
}

// Close ends all requests and waits for them.
func (r *reader) Close() error {
	r.cancel()
	r.fetching.Wait()
	if r.now != nil {
		r.now.close()
	}
	for _, f := range r.ahead {
		buffers.Give(f.chunks...)
	}
	r.now, r.ahead = nil, nil
	if r.err == nil {
		r.err = errors.New("read after close")
	}
	return nil
}

// A stretch is a range as it comes from the store. When the connection is cut, it
// goes on where it was.
type stretch struct {
	r        *reader
	pos, end int64
	body     io.ReadCloser
	stall    *stall
}

// read returns at least a byte, or an error.
func (t *stretch) read(ctx context.Context, p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), t.end-t.pos)]
	err = retry(ctx, func() error {
		if t.body == nil {
			if err := t.open(ctx); err != nil {
				return err
			}
		}
		t.stall.moved()
		n, err = t.body.Read(p)
		t.stall.pause()
		if n > 0 {
			return nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		t.close()
		return fmt.Errorf("%s: reading broke off at byte %d of %d: %w: %w", t.r.name, t.pos, t.r.size, sdk.ErrUnavailable, err)
	})
	t.pos += int64(n)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return n, err
}

// open asks for what is left of the range. The first answer tells how large the
// object is, and which version of it all others must be of.
func (t *stretch) open(ctx context.Context) error {
	opts := minio.GetObjectOptions{ServerSideEncryption: t.r.s.c.sse}
	if err := opts.SetRange(t.pos, t.end-1); err != nil {
		return err
	}
	if t.r.size >= 0 {
		if err := opts.SetMatchETag(t.r.etag); err != nil {
			return err
		}
	}
	work, stall := watch(ctx)
	body, info, header, err := t.r.s.c.core.GetObject(work, t.r.s.c.bucket, t.r.s.key(t.r.name), opts)
	if err != nil {
		stall.stop()
		if c, status := code(err); status == http.StatusPreconditionFailed || c == minio.PreconditionFailed {
			return t.r.replaced()
		}
		return t.r.s.fail(ctx, t.r.name, err)
	}
	stall.pause()
	t.body, t.stall = body, stall
	if err := t.accept(info, header); err != nil {
		t.close()
		return err
	}
	return nil
}

// accept compares an answer with what was asked for.
func (t *stretch) accept(info minio.ObjectInfo, header http.Header) error {
	from, size, err := contentRange(header.Get("Content-Range"))
	switch {
	case header.Get("Content-Range") == "" && t.pos == 0: // all of it
		size = info.Size
	case err != nil || from != t.pos || size < 0:
		return fmt.Errorf("%s: bytes %d to %d were asked for, and the store answers with %q: %w",
			t.r.name, t.pos, t.end-1, header.Get("Content-Range"), sdk.ErrUnsupported)
	}
	if t.r.size < 0 {
		t.r.size, t.r.etag = size, info.ETag
		t.end = min(t.end, size)
		return nil
	}
	if info.ETag != t.r.etag || size != t.r.size {
		return t.r.replaced()
	}
	return nil
}

func (r *reader) replaced() error {
	return fmt.Errorf("%s: it was replaced while it was being read: %w", r.name, sdk.ErrConflict)
}

// contentRange reads "bytes 0-9/100".
func contentRange(s string) (from, size int64, err error) {
	s, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(s, "/")
	first, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, strconv.ErrSyntax
	}
	if from, err = strconv.ParseInt(first, 10, 64); err != nil {
		return 0, 0, err
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return from, size, err
}

func (t *stretch) close() {
	if t.body != nil {
		t.stall.stop()
		t.body.Close()
		t.body = nil
	}
}

// A fetch is a range that is read into memory before it is wanted.
type fetch struct {
	r      *reader
	end    int64
	chunks [][]byte
	ready  chan []byte // filled ones; closed at the end, or with err
	err    error

	rest []byte // of the chunk that is being read
}

// run fills the chunks.
func (f *fetch) run(ctx context.Context, from int64) {
	defer close(f.ready)
	t := &stretch{r: f.r, pos: from, end: f.end}
	defer t.close()
	for _, c := range f.chunks {
		c = c[:min(chunkSize, t.end-t.pos)]
		for at := 0; at < len(c); {
			n, err := t.read(ctx, c[at:])
			if err != nil {
				f.err = err
				return
			}
			at += n
		}
		f.ready <- c
	}
}

// read gives the chunks back that have been read. Its io.EOF is the end of the
// range.
func (f *fetch) read(ctx context.Context, p []byte) (int, error) {
	if len(f.rest) == 0 {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case c, ok := <-f.ready:
			if !ok && f.err == nil {
				return 0, io.EOF
			}
			if !ok {
				return 0, f.err
			}
			f.rest = c
		}
	}
	n := copy(p, f.rest)
	if f.rest = f.rest[n:]; len(f.rest) == 0 {
		buffers.Give(f.chunks[0])
		f.chunks = f.chunks[1:]
	}
	return n, nil
}
