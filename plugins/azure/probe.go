package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

const probeName = hidden + "probe"

// Probe writes a small blob the way Put does, reads and lists it, and sees
// whether it is safe from a second Put. It always has the same name: where this
// plugin may write and not delete, there is one for good.
func (d *destination) Probe(ctx context.Context) error {
	if err := d.probe(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

func (d *destination) probe(ctx context.Context) (err error) {
	content := []byte("probe")
	put := func() error {
		any := azcore.ETagAny
		u := d.newUpload(probeName, blob.ModifiedAccessConditions{IfNoneMatch: &any}, sdk.ErrExist)
		_, err := u.store(ctx, bytes.NewReader(content))
		return err
	}
	err = put()
	if errors.Is(err, fs.ErrExist) { // another Probe's; that it was refused shows enough
		d.createOnly.Store(honoured)
		return d.lists(ctx, false)
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", d.at, err)
	}
	defer func() { err = errors.Join(err, d.removeProbe(context.WithoutCancel(ctx))) }()
	switch err := put(); {
	case err == nil:
		d.createOnly.Store(ignored)
		return fmt.Errorf("%s: a second object of the same name was not refused: %w", d.at, sdk.ErrUnsupported)
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("writing to %s again: %w", d.at, err)
	}
	d.createOnly.Store(honoured)
	r := &reader{ctx: ctx, cancel: func() {}, d: d, name: probeName, size: -1}
	if err := r.open(brief); err != nil {
		return fmt.Errorf("reading back from %s: %w", d.at, err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		return fmt.Errorf("reading back from %s: %w", d.at, errors.Join(err, sdk.ErrUnavailable))
	}
	return d.lists(ctx, true)
}

// lists tries to list the probe, which may have to be there.
func (d *destination) lists(ctx context.Context, there bool) error {
	for e, err := range d.pages(ctx, probeName, container.ListBlobsInclude{}) {
		if err != nil {
			return err // it names the location
		}
		if e.Name == probeName {
			return nil
		}
	}
	if there {
		return fmt.Errorf("%s: an object that was written is not listed: %w", d.at, sdk.ErrUnavailable)
	}
	return nil
}

func (d *destination) removeProbe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, brief.time)
	defer cancel()
	err := d.persist(ctx, brief, probeName, func(ctx context.Context) error {
		_, err := d.blob(probeName).Delete(ctx, nil)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		sdk.Logger().Warn("what was written to try the location out cannot be deleted, and neither can old backups", "location", d.at.String(), "object", probeName)
		return nil
	}
	return err
}
