package s3store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// The plugin is persistent where the host cannot be, in the middle of an object,
// and nowhere else: what the host can ask for again it asks for again. On top of
// this come three tries of minio-go, within two seconds or so, at requests
// without a part.
const (
	retryTries = 8
	retryTime  = 2 * time.Minute // after which no further try begins
	firstPause = 250 * time.Millisecond
	maxPause   = 20 * time.Second
)

// A final error is not worth another try, whatever its kind.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// retry calls f until it succeeds or fails with anything but ErrUnavailable. It
// waits longer each time, and as long as the storage asks for. The end of ctx
// ends the waiting.
func retry(ctx context.Context, f func() error) error {
	begin, pause := time.Now(), firstPause
	for try := 1; ; try++ {
		err := f()
		if err == nil || ctx.Err() != nil || !errors.Is(err, sdk.ErrUnavailable) {
			return err
		}
		if last := (final{}); errors.As(err, &last) {
			return last.error
		}
		wait := max(pause/2+rand.N(pause/2), sdk.RetryAfter(err)) //nolint:gosec // no secret
		if try == retryTries || time.Since(begin)+wait > retryTime {
			return err
		}
		if !sleep(ctx, wait) {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// retryRefused is retry for the request that makes an object visible. Stores on
// file systems may refuse it while they remove the last object of its folder: such
// a refusal must be said four times, within a second.
func retryRefused(ctx context.Context, f func() error) error {
	err := retry(ctx, f)
	for pause := 100 * time.Millisecond; maybePassing(err) && pause < time.Second; pause *= 2 {
		if !sleep(ctx, pause) {
			break
		}
		err = retry(ctx, f)
	}
	return err
}

// maybePassing recognises what MinIO says at that moment, that access is denied, and
// what versitygw 1.8.0 says, that the name is a folder.
func maybePassing(err error) bool {
	return errors.Is(err, sdk.ErrPermission) || codeOf(err) == "ExistingObjectIsDirectory"
}

// sleep returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stallTime is how long a transfer may stand still before it is begun anew.
const stallTime = time.Minute

// errStalled is why a transfer that stood still was ended.
var errStalled = errors.New("nothing moved for a minute")

// A stall ends a request that stands still.
type stall struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// watch returns a context that ends when nothing has moved for a minute.
func watch(ctx context.Context) (context.Context, *stall) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stall{cancel: cancel}
	s.timer = time.AfterFunc(stallTime, func() { cancel(errStalled) })
	return ctx, s
}

func (s *stall) moved() { s.timer.Reset(stallTime) }

// pause is for when nothing need move.
func (s *stall) pause() { s.timer.Stop() }

func (s *stall) stop() {
	s.timer.Stop()
	s.cancel(nil)
}
