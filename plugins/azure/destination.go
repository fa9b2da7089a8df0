package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brock-backup/brock/sdk"
)

// A destination is a container, and how objects are kept in it.
type destination struct {
	at        location
	who       *identity
	wire      *wire
	conns     *http.Transport // of wire
	container *container.Client

	blockSize int64 // bytes in a block of an object that is not huge
	tier      blob.AccessTier
	locked    immutability
	scope     *blob.CPKScopeInfo
	pageSize  int32 // names in a page of List; 0: what Azure likes

	createOnly atomic.Int32 // a verdict: whether a taken name is refused
	locks      atomic.Int32 // a verdict: whether what is written is made immutable
}

// Verdicts on what the service does of what it is asked for. 0 is for not known.
const (
	honoured = 1 + iota
	ignored
)

var (
	_ sdk.Destination = (*destination)(nil)
	_ sdk.Replacer    = (*destination)(nil)
	_ sdk.Prober      = (*destination)(nil)
	_ sdk.Reporter    = (*destination)(nil)
)

// Close ends the connections that nobody uses.
func (d *destination) Close() error {
	d.conns.CloseIdleConnections()
	return nil
}

// blob is for an object of that name, whether there is one or not.
func (d *destination) blob(name string) *blockblob.Client {
	return d.container.NewBlockBlobClient(d.at.prefix + blobName(name))
}

// tierOf is what a new object is put into; nil is for the account's own choice.
// In the archive nothing can be read for hours, so that only data goes there:
// the records, lists and seals of backups stay at hand.
func (d *destination) tierOf(name string) *blob.AccessTier {
	if d.tier == "" || d.tier == blob.AccessTierArchive && path.Ext(name) != ".backup" {
		return nil
	}
	return &d.tier
}

// Version returns the ETag of the object.
func (d *destination) Version(ctx context.Context, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	p, err := d.look(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return versionOf(p.ETag), err
}

// look returns the properties of an object.
func (d *destination) look(ctx context.Context, name string) (p blob.GetPropertiesResponse, err error) {
	err = d.persist(ctx, brief, name, func(ctx context.Context) (err error) {
		p, err = d.blob(name).GetProperties(ctx, nil)
		return err
	})
	return p, err
}

func versionOf(etag *azcore.ETag) string {
	if etag == nil {
		return ""
	}
	return strings.Trim(string(*etag), `"`)
}

// Delete removes an object.
func (d *destination) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := d.persist(ctx, brief, name, func(ctx context.Context) error {
		_, err := d.blob(name).Delete(ctx, nil)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
