package sdk

import (
	"time"

	"github.com/brock-backup/brock/sdk/internal/code"
)

// The kinds of failure that the host acts upon. Wrap one with %w: its kind and
// the whole text reach the host. Any other error is shown to the user as it is.
var (
	ErrNotExist    = code.ErrNotExist    // no object of that name, and the storage itself said so (= fs)
	ErrExist       = code.ErrExist       // an object of that name is there already (= fs)
	ErrPermission  = code.ErrPermission  // credentials missing, refused or too weak (= fs)
	ErrInvalid     = code.ErrInvalid     // a setting or an argument that can never work (= fs)
	ErrConflict    = code.ErrConflict    // Replace: another version is there by now
	ErrUnavailable = code.ErrUnavailable // worth another try; nothing else is retried
	ErrNoSpace     = code.ErrNoSpace     // a disk or a quota is full
	ErrWrongKey    = code.ErrWrongKey    // Unwrap: another key wrapped the data key
	ErrCorrupt     = code.ErrCorrupt     // what is stored is damaged
	ErrUnsupported = code.ErrUnsupported // the plugin cannot do this (= errors)
)

// WithHint adds to err what the user can do about it, in a sentence. The host
// shows it below the error, whose text and kind stay the same.
func WithHint(err error, hint string) error { return code.WithHint(err, hint) }

// Hint returns what WithHint added to err, on either side of the wire, or "".
func Hint(err error) string { return code.Hint(err) }

// WithRetryAfter adds to err how long the storage asks to be left alone before
// another try. It makes no error worth another try that is not ErrUnavailable.
// The text and the kind of err stay the same.
func WithRetryAfter(err error, wait time.Duration) error { return code.WithRetryAfter(err, wait) }

// RetryAfter returns what WithRetryAfter added to err, on either side of the
// wire and in whole milliseconds there, or 0.
func RetryAfter(err error) time.Duration { return code.RetryAfter(err) }
