package host

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// A patience is how long the engine holds out while a storage is unavailable.
type patience struct {
	first time.Duration // pause before the second try; each later one is twice as long,
	most  time.Duration // but no longer than this, and up to as much again by chance
	total time.Duration // then there is one more try, and no other
	asked time.Duration // longest pause that a storage may ask for
	quiet time.Duration // then the log says what is being waited for
}

// outage is long enough for a storage to change over to its spare, or for a
// throttled bucket to be split. Tests that make storages fail for good shorten it.
var outage = patience{
	first: 100 * time.Millisecond, most: 5 * time.Second, total: 45 * time.Second, asked: 30 * time.Second, quiet: 3 * time.Second,
}

// retry calls f until it succeeds, or fails for another reason than that the
// storage is unavailable, or ctx ends, or that has lasted for as long as outage
// says. It waits as long as the storage asks for.
func retry(ctx context.Context, f func() error) error {
	began, pause, told := time.Now(), outage.first, false
	for {
		err := f()
		past := time.Since(began)
		if err == nil || past >= outage.total || !errors.Is(err, sdk.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		wait := pause + rand.N(pause) //nolint:gosec // so that many hosts do not come back at once
		if asked := min(sdk.RetryAfter(err), outage.asked); asked > wait {
			wait = asked
		}
		wait = min(wait, outage.total-past)
		if !told && past+wait > outage.quiet {
			told = true
			logOf(ctx).Warn("the storage is not available; it is tried again for a while", "for", outage.total, "error", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		pause = min(2*pause, outage.most)
	}
}

type logKey struct{}

// withLog is the context of an operation, whose waits are told in the engine's
// log.
func (e *Engine) withLog(ctx context.Context) context.Context {
	return context.WithValue(ctx, logKey{}, e.log())
}

func logOf(ctx context.Context) hclog.Logger {
	if l, ok := ctx.Value(logKey{}).(hclog.Logger); ok {
		return l
	}
	return hclog.NewNullLogger()
}
