package s3store

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/brock-backup/brock/sdk"
)

// ConcurrentPuts is how many Puts a process takes at once. Each of them can then
// have a part of the usual size in memory, and the sources of all of them go on.
const ConcurrentPuts = 3

// A Store keeps objects below a prefix of a bucket. It holds nothing open
// between calls except for idle connections.
type Store struct {
	c *client

	sums  checksums
	cond  conditions
	locks locks
	old   leftovers

	seen  atomic.Bool // the bucket, at some time
	blind atomic.Bool // what was written cannot be read
	stays atomic.Bool // what was written cannot be deleted
	bound atomic.Bool // uploads cannot be ended

	endless atomic.Int32 // uploads of this Store that stay unfinished

	unread sync.Once // says once that the sizes of stored objects cannot be compared

	background context.Context // ends with the Store
	end        context.CancelFunc
	collecting sync.WaitGroup // of leftovers, behind a Put
	running    sync.WaitGroup // until background ends
}

var (
	_ sdk.Destination = (*Store)(nil)
	_ sdk.Replacer    = (*Store)(nil)
	_ sdk.Prober      = (*Store)(nil)
	_ sdk.Reporter    = (*Store)(nil)
	_ io.Closer       = (*Store)(nil)
)

func newStore(c *client) *Store {
	limitHeap()
	s := &Store{c: c}
	s.background, s.end = context.WithCancel(context.Background())
	return s
}

// closeTime is how long Close lets what goes on in the background come to its
// end.
const closeTime = 3 * time.Second

// Close waits for what goes on in the background, and ends it if that takes long.
func (s *Store) Close() error {
	late := time.AfterFunc(closeTime, s.end)
	s.collecting.Wait()
	late.Stop()
	s.end()
	s.running.Wait()
	return nil
}

// hiddenName is that of a new object for a probe.
func hiddenName() string { return hidden + "probe-" + strings.ToLower(rand.Text()) }

// tokenKey is the name under which a token is kept with an object, and tokenName
// that name as it comes back.
const (
	tokenKey  = "brock-put"
	tokenName = "Brock-Put"
)

// head asks for an object's size, ETag and token. The error is ErrNotExist if
// there is no such object.
func (s *Store) head(ctx context.Context, name string) (minio.ObjectInfo, error) {
	info, err := s.c.core.StatObject(ctx, s.c.bucket, s.key(name), minio.StatObjectOptions{ServerSideEncryption: s.c.sse})
	if err != nil {
		return info, s.fail(ctx, name, err)
	}
	return info, nil
}

// fail is client.fail, except that the end of ctx is its own kind.
func (s *Store) fail(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	failed := s.c.fail(name, err)
	if brokenOff(err) && !errors.Is(failed, sdk.ErrUnavailable) {
		return fmt.Errorf("%w: %w", failed, sdk.ErrUnavailable)
	}
	return failed
}

// brokenOff reports whether an answer ended in the middle.
func brokenOff(err error) bool {
	var syntax *xml.SyntaxError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &syntax)
}

// remove deletes an object that this process has written: exactly the version
// that is given where the bucket has versions.
func (s *Store) remove(ctx context.Context, name, version string) error {
	err := s.c.core.RemoveObject(ctx, s.c.bucket, s.key(name), minio.RemoveObjectOptions{VersionID: version})
	if err != nil && version != "" { // deleting versions is a right of its own
		err = s.c.core.RemoveObject(ctx, s.c.bucket, s.key(name), minio.RemoveObjectOptions{})
	}
	return s.fail(ctx, name, err)
}

// aftermath is a context for what must be done although ctx has ended.
func aftermath(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
}

// code returns the provider's code of an error that comes from minio-go, and
// the HTTP status.
func code(err error) (string, int) {
	if res, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return res.Code, res.StatusCode
	}
	return "", 0
}

// codeOf returns the provider's code alone.
func codeOf(err error) string { c, _ := code(err); return c }
