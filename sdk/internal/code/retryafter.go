package code

import (
	"errors"
	"time"
)

type delayed struct {
	error
	wait time.Duration
}

func (d *delayed) Unwrap() error             { return d.error }
func (d *delayed) RetryAfter() time.Duration { return d.wait }

// WithRetryAfter adds to err how long to wait before another try. The text and
// the kind of err stay the same.
func WithRetryAfter(err error, wait time.Duration) error {
	if err == nil || wait <= 0 {
		return err
	}
	return &delayed{err, wait}
}

// RetryAfter returns what WithRetryAfter added to err, or 0.
func RetryAfter(err error) time.Duration {
	var d interface{ RetryAfter() time.Duration }
	if errors.As(err, &d) {
		return max(0, d.RetryAfter())
	}
	return 0
}
