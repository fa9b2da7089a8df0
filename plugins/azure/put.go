package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/brock-backup/brock/sdk"
)

const (
	concurrentPuts = 4
	blocksPerPut   = 3 // that are in memory at once: one is being filled
)

// Put stores an object under the condition that there is none of its name.
func (d *destination) Put(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	any := azcore.ETagAny
	u := d.newUpload(name, blob.ModifiedAccessConditions{IfNoneMatch: &any}, sdk.ErrExist)
	u.locked = d.locked
	if _, err := u.store(ctx, r); err != nil {
		return err
	}
	u.isLocked(ctx)
	return nil
}

// isLocked finds out, once for a destination, whether the service makes objects
// immutable when it is asked to: there are those that take the request and do not
// do it. What cannot be looked at is not known.
func (u *upload) isLocked(ctx context.Context) {
	if u.locked.days == 0 || u.d.locks.Load() != 0 {
		return
	}
	p, err := u.d.blob(u.name).GetProperties(ctx, nil)
	switch {
	case err != nil:
	case p.ImmutabilityPolicyExpiresOn != nil:
		u.d.locks.Store(honoured)
	case u.d.locks.CompareAndSwap(0, ignored):
		sdk.Logger().Warn("the service does not make objects immutable, although it was asked to", "place", u.d.at.String(), "object", u.name)
	}
}

// An upload is an object that is being written.
type upload struct {
	d         *destination
	name      string
	id        [16]byte // tells it from all other uploads
	condition blob.ModifiedAccessConditions
	taken     error // the kind of failure if the condition does not hold
	locked    immutability
}

func (d *destination) newUpload(name string, condition blob.ModifiedAccessConditions, taken error) *upload {
	u := &upload{d: d, name: name, condition: condition, taken: taken}
	_, _ = rand.Read(u.id[:]) // never fails
	return u
}

// store writes what r yields and returns the object's version: with one request
// if it fits into a block, or else block by block.
func (u *upload) store(ctx context.Context, r io.Reader) (version string, err error) {
	hint, _ := sdk.SizeHint(r)
	first, err := fill(ctx, r, blockSize(u.d.blockSize, hint, 0))
	if err != nil && err != io.EOF { //nolint:errorlint // see fill
		return "", err
	}
	if err == nil {
		r, err = more(r)
	}
	if err == io.EOF { //nolint:errorlint // as above
		return u.whole(ctx, first)
	}
	if err == nil {
		err = u.vacant(ctx)
	}
	if err != nil {
		first.free()
		return "", err
	}
	ids, err := u.stage(ctx, first, r, hint)
	if err != nil {
		return "", err
	}
	return u.commit(ctx, ids)
}

// more returns a reader of what r has left, or io.EOF if that is nothing.
func more(r io.Reader) (io.Reader, error) {
	one := make([]byte, 1)
	for {
		n, err := r.Read(one)
		switch {
		case n == 1 && err == nil:
			return io.MultiReader(bytes.NewReader(one), r), nil
		case n == 1:
			return io.MultiReader(bytes.NewReader(one), failing{err}), nil
		case err != nil:
			return nil, err
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// vacant saves the transfer of a large object that would not get its name.
func (u *upload) vacant(ctx context.Context) error {
	p, err := u.d.look(ctx, u.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.ETag = nil
	case errors.Is(err, fs.ErrPermission): // it may be enough for writing
		return nil
	case err != nil:
		return err
	}
	if u.condition.IfMatch == nil && p.ETag == nil || u.condition.IfMatch != nil && p.ETag != nil && *p.ETag == *u.condition.IfMatch {
		return nil
	}
	return u.refusal()
}

func (u *upload) refusal() error { return fmt.Errorf("%s: %w", u.name, u.taken) }

// whole writes an object that is one block. If its name is said to be taken and
// nothing is there, the blocks of an unfinished upload are, which Azurite does not
// tell from an object then; a list of blocks replaces them.
func (u *upload) whole(ctx context.Context, b *block) (version string, err error) {
	b.send()
	defer b.sent()
	version, err = u.sendWhole(ctx, b)
	if u.condition.IfMatch != nil || !errors.Is(err, u.taken) {
		return version, err
	}
	if _, e := u.d.look(ctx, u.name); !errors.Is(e, fs.ErrNotExist) {
		return version, err
	}
	id := u.blockID(0)
	if err := u.send(ctx, id, b); err != nil {
		return "", err
	}
	return u.commit(ctx, []string{id})
}

func (u *upload) sendWhole(ctx context.Context, b *block) (version string, err error) {
	sum := b.md5()
	return u.publish(ctx, brief, func(ctx context.Context) (*azcore.ETag, error) {
		resp, err := u.d.blob(u.name).Upload(ctx, b.reader(), &blockblob.UploadOptions{
			TransactionalValidation:      blob.TransferValidationTypeMD5(sum),
			Metadata:                     u.metadata(),
			Tier:                         u.d.tierOf(u.name),
			AccessConditions:             &blob.AccessConditions{ModifiedAccessConditions: &u.condition},
			CPKScopeInfo:                 u.d.scope,
			ImmutabilityPolicyMode:       u.locked.policy(),
			ImmutabilityPolicyExpiryTime: u.locked.until(),
		})
		return resp.ETag, err
	})
}

// stage sends the first block and what else r yields, and returns the names of
// the blocks. Nobody sees them yet.
func (u *upload) stage(ctx context.Context, next *block, r io.Reader, hint int64) (ids []string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel(nil)
	room := make(chan struct{}, blocksPerPut-1)
	written, end := int64(0), error(nil)
	for {
		if next.size > 0 {
			if len(ids) == maxBlocks {
				next.free()
				return nil, fmt.Errorf("%s is larger than Azure's limit of %d blocks: %w", u.name, maxBlocks, sdk.ErrInvalid)
			}
			id, b := u.blockID(len(ids)), next
			ids, written = append(ids, id), written+b.size
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				b.free()
				return nil, u.why(ctx)
			}
			b.send()
			sending.Go(func() {
				defer func() {
					b.sent()
					<-room
				}()
				if err := u.send(ctx, id, b); err != nil {
					cancel(err)
				}
			})
		} else {
			next.free()
		}
		if end == io.EOF { //nolint:errorlint // see fill
			sending.Wait()
			if ctx.Err() != nil {
				return nil, u.why(ctx)
			}
			return ids, nil
		}
		next, end = fill(ctx, r, blockSize(u.d.blockSize, hint, written))
		if end != nil && end != io.EOF { //nolint:errorlint // as above
			if ctx.Err() != nil {
				return nil, u.why(ctx)
			}
			return nil, end
		}
	}
}

// why is the reason that staging has ended: what went wrong with a block, or the
// end of the Put's own context.
func (u *upload) why(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", u.name, err)
	}
	return err
}

// send sends one block, which Azure compares with its MD5.
func (u *upload) send(ctx context.Context, id string, b *block) error {
	options := &blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(b.md5()), CPKScopeInfo: u.d.scope}
	return u.d.persist(ctx, long, u.name, func(ctx context.Context) error {
		_, err := u.d.blob(u.name).StageBlock(ctx, id, b.reader(), options)
		return err
	})
}

// blockID names a block. All the names that a blob's blocks have are of one
// length, and no two uploads have the same.
func (u *upload) blockID(n int) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(u.id[:], uint64(n)))
}

func (u *upload) commit(ctx context.Context, ids []string) (version string, err error) {
	return u.publish(ctx, long, func(ctx context.Context) (*azcore.ETag, error) {
		resp, err := u.d.blob(u.name).CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{
			Metadata:                     u.metadata(),
			Tier:                         u.d.tierOf(u.name),
			AccessConditions:             &blob.AccessConditions{ModifiedAccessConditions: &u.condition},
			CPKScopeInfo:                 u.d.scope,
			ImmutabilityPolicyMode:       u.locked.policy(),
			ImmutabilityPolicyExpiryTime: u.locked.until(),
		})
		return resp.ETag, err
	})
}

// publish sends the request that makes the object visible. If it has to be sent
// again, the first one may have been done although its answer was lost: then what
// is there bears this upload's mark.
func (u *upload) publish(ctx context.Context, p patience, request func(context.Context) (*azcore.ETag, error)) (version string, err error) {
	var code bloberror.Code
	tries := 0
	err = u.d.persist(ctx, p, u.name, func(ctx context.Context) error {
		tries++
		etag, err := request(ctx)
		code, version = codeOf(err), versionOf(etag)
		return err
	})
	switch {
	case err == nil:
		return version, nil
	case ctx.Err() != nil:
		u.withdraw(ctx)
		return "", err
	case tries > 1:
		if p, ok := u.landed(ctx); ok {
			return versionOf(p.ETag), nil
		}
	}
	switch {
	case code == bloberror.UnauthorizedBlobOverwrite && u.condition.IfMatch != nil:
		return "", fmt.Errorf("%s: %s: %w", u.name, code, sdk.ErrPermission)
	case errors.Is(err, fs.ErrExist), errors.Is(err, sdk.ErrConflict):
		return "", u.refusal()
	case code == bloberror.InvalidBlockList, code == bloberror.BlobImmutableDueToPolicy:
		return "", u.overtaken(ctx, err)
	case u.condition.IfMatch != nil && code == bloberror.BlobNotFound:
		return "", u.refusal()
	}
	return "", err
}

// overtaken is for failures that have one reason if there is an object by now,
// and another if there is none: whoever commits throws away all other blocks
// under that name.
func (u *upload) overtaken(ctx context.Context, err error) error {
	if e := u.vacant(ctx); e != nil {
		return e
	}
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: another upload under that name came in between: %w", err, sdk.ErrUnavailable)
}

// mark is the metadata that tells whose object it is.
const mark = "brockupload"

func (u *upload) metadata() map[string]*string {
	id := hex.EncodeToString(u.id[:])
	return map[string]*string{mark: &id}
}

// landed reports whether what has this upload's name is its own.
func (u *upload) landed(ctx context.Context) (p blob.GetPropertiesResponse, ok bool) {
	p, err := u.d.look(ctx, u.name)
	if err != nil {
		return p, false
	}
	for name, value := range p.Metadata { // in any case, as HTTP has it
		if len(name) == len(mark) && value != nil && *value == *u.metadata()[mark] {
			return p, true
		}
	}
	return p, false
}

// withdrawTime is how long a Put that was cancelled may still take.
const withdrawTime = 700 * time.Millisecond

// withdraw removes the object again if it became visible although its Put was
// cancelled. What a Replace has replaced cannot be brought back.
func (u *upload) withdraw(ctx context.Context) {
	if u.condition.IfNoneMatch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if p, ok := u.landed(ctx); ok {
		_, _ = u.d.blob(u.name).Delete(ctx, &blob.DeleteOptions{
			AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: p.ETag}},
		})
	}
}
