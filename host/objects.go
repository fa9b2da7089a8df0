package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// maxSmall is the size of the largest small object (manifest, record, seal) in
// bytes: these are read and written whole.
const maxSmall = 1 << 30

func getAll(ctx context.Context, d sdk.Destination, name string) (data []byte, err error) {
	err = retry(ctx, func() error {
		r, err := d.Get(ctx, name, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err = io.ReadAll(io.LimitReader(r, maxSmall+1))
		if err == nil && len(data) > maxSmall {
			return damaged("", "larger than %d bytes", maxSmall)
		}
		return err
	})
	if err != nil {
		return nil, about(name, err)
	}
	return data, nil
}

// putNew stores data under a name that must be free. Where the answer to an
// earlier try was lost, the object is read back: if it holds these very bytes,
// the Put had succeeded.
func putNew(ctx context.Context, d sdk.Destination, name string, data []byte) error {
	err := retry(ctx, func() error { return d.Put(ctx, name, bytes.NewReader(data)) })
	if err == nil {
		return nil
	}
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if there, getErr := getAll(settle, d, name); getErr == nil && bytes.Equal(there, data) {
		return nil
	}
	return about(name, err)
}

// about says which object err is about, unless the plugin has said so.
func about(name string, err error) error {
	if strings.Contains(err.Error(), name) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// settleTime is how long the engine tries to find out, or to clean up, after
// an operation was cut short.
const settleTime = 20 * time.Second

// open reads an object from offset on, and goes on where a broken connection
// stopped.
func open(ctx context.Context, d sdk.Destination, name string, offset int64) io.ReadCloser {
	return &resumer{ctx: ctx, d: d, name: name, offset: offset}
}

// A resumer is an object's reader that survives a destination that is
// unavailable for a while.
type resumer struct {
	ctx    context.Context //nolint:containedctx // of the operation that reads
	d      sdk.Destination
	name   string
	offset int64
	r      io.ReadCloser
}

func (r *resumer) Read(p []byte) (n int, err error) {
	err = retry(r.ctx, func() error {
		if r.r == nil {
			if r.r, err = r.d.Get(r.ctx, r.name, r.offset); err != nil {
				r.r = nil
				return err
			}
		}
		n, err = r.r.Read(p)
		r.offset += int64(n)
		if n > 0 && err != nil && !errors.Is(err, io.EOF) {
			err = nil // the error comes again, or is gone
		}
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			r.r.Close()
			r.r = nil
		}
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		err = about(r.name, err)
	}
	return n, err
}

func (r *resumer) Close() error {
	if r.r == nil {
		return nil
	}
	return r.r.Close()
}
