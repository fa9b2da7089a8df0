package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// A patience is how long a request is tried again that the storage could not
// answer. The host tries whole operations again, and has its own.
type patience struct {
	tries int // 0: any number
	time  time.Duration
}

var (
	// brief is for what costs nothing to begin again.
	brief = patience{3, 30 * time.Second}

	// long is for a part of what would otherwise be lost.
	long = patience{0, 2 * time.Minute}
)

const (
	firstWait = 250 * time.Millisecond
	maxWait   = 15 * time.Second
)

// persist calls request until it succeeds, fails for good, or patience is at its
// end. The error is what fail makes of the last one. It waits for as long as the
// storage asks for, if there is time.
func (d *destination) persist(ctx context.Context, p patience, what string, request func(context.Context) error) error {
	start, wait := time.Now(), firstWait
	for try := 1; ; try++ {
		err := d.fail(ctx, what, request(ctx))
		if !errors.Is(err, sdk.ErrUnavailable) {
			return err
		}
		pause := max(sdk.RetryAfter(err), time.Duration(float64(wait)*(0.8+0.4*rand.Float64()))) //nolint:gosec // jitter
		if try == p.tries || time.Since(start)+pause > p.time {
			return err
		}
		select {
		case <-ctx.Done():
			return d.fail(ctx, what, err)
		case <-time.After(pause):
		}
		wait = min(2*wait, maxWait)
	}
}
