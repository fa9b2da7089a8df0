package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/brock-backup/brock/sdk"
)

// Get opens an object. All of it comes from the object as it is now: if that is
// replaced meanwhile, reading fails.
func (d *destination) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("%s: offset %d: %w", name, offset, sdk.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{ctx: ctx, cancel: cancel, d: d, name: name, at: offset, size: -1}
	if err := r.open(brief); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// A reader reads an object from at on, in as many requests as it takes.
type reader struct {
	ctx    context.Context
	cancel func()
	d      *destination
	name   string
	at     int64
	size   int64        // -1 before the first answer
	etag   *azcore.ETag // of the first answer
	body   io.ReadCloser
	since  time.Time // of the last byte
}

// open asks for what is left of the object, unless that is nothing.
func (r *reader) open(p patience) error {
	if r.size >= 0 && r.at == r.size {
		return nil
	}
	status := 0
	err := r.d.persist(r.ctx, p, r.name, func(ctx context.Context) error {
		resp, err := r.d.blob(r.name).DownloadStream(ctx, &blob.DownloadStreamOptions{
			Range:            blob.HTTPRange{Offset: r.at},
			AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: r.etag}},
		})
		if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
			status = e.StatusCode
		}
		if err != nil {
			return err
		}
		switch {
		case resp.ContentLength == nil || resp.ETag == nil:
			resp.Body.Close()
			return errors.New("the answer has no length or no ETag")
		case r.size >= 0 && r.at+*resp.ContentLength != r.size:
			resp.Body.Close()
			return fmt.Errorf("at %d of %d bytes, %d are left", r.at, r.size, *resp.ContentLength)
		}
		r.body, r.etag, r.size = resp.Body, resp.ETag, r.at+*resp.ContentLength
		return nil
	})
	switch {
	case status == http.StatusRequestedRangeNotSatisfiable && r.size < 0:
		return r.atEnd()
	case errors.Is(err, sdk.ErrConflict):
		return fmt.Errorf("%s was replaced while it was read: %w", r.name, sdk.ErrUnavailable)
	}
	return err
}

// atEnd tells the end of the object, where there is nothing to read, from what
// lies beyond.
func (r *reader) atEnd() error {
	p, err := r.d.look(r.ctx, r.name)
	if err != nil {
		return err
	}
	if p.ContentLength == nil || *p.ContentLength != r.at {
		return fmt.Errorf("%s: offset %d lies beyond its end: %w", r.name, r.at, sdk.ErrInvalid)
	}
	r.size = r.at
	return nil
}

// Read goes on with another request when one breaks off.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.at == r.size {
			return 0, io.EOF
		}
		n, err := r.body.Read(p)
		r.at += int64(n)
		if n > 0 {
			r.since = time.Time{}
			return n, nil
		}
		if err == nil {
			continue
		}
		if err := r.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume opens the object again where it broke off. If nothing comes for too
// long, however often it is opened, that is the end.
func (r *reader) resume(cause error) error {
	r.body.Close()
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	if r.since.IsZero() {
		r.since = time.Now()
	} else {
		if time.Since(r.since) > long.time {
			return r.d.fail(r.ctx, r.name, cause)
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(firstWait):
		}
	}
	return r.open(long)
}

func (r *reader) Close() error {
	r.cancel()
	if r.body != nil {
		return r.body.Close()
	}
	return nil
}
