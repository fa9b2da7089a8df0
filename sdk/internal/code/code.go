// Package code carries errors across the process boundary: their whole text,
// their kind, and what a user can do about them. The kinds are re-exported by
// package sdk; they live here so that both ends of the wire share one table.
package code

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// The kinds of failure that a plugin can report.
var (
	ErrNotExist    = fs.ErrNotExist
	ErrExist       = fs.ErrExist
	ErrPermission  = fs.ErrPermission
	ErrInvalid     = fs.ErrInvalid
	ErrUnsupported = errors.ErrUnsupported
	ErrConflict    = errors.New("changed by somebody else")
	ErrUnavailable = errors.New("temporarily unavailable")
	ErrNoSpace     = errors.New("no space left")
	ErrWrongKey    = errors.New("wrapped by another key")
	ErrCorrupt     = errors.New("damaged")
)

// table pairs each kind with its code and its reason. Where an error is of two
// kinds, the first row wins; ErrUnavailable survives beside any other.
var table = []struct {
	kind   error
	code   codes.Code
	reason pluginpb.Reason
}{
	{ErrNotExist, codes.NotFound, pluginpb.Reason_REASON_NOT_EXIST},
	{ErrExist, codes.AlreadyExists, pluginpb.Reason_REASON_EXIST},
	{ErrPermission, codes.PermissionDenied, pluginpb.Reason_REASON_PERMISSION},
	{ErrInvalid, codes.InvalidArgument, pluginpb.Reason_REASON_INVALID},
	{ErrConflict, codes.Aborted, pluginpb.Reason_REASON_CONFLICT},
	{ErrNoSpace, codes.ResourceExhausted, pluginpb.Reason_REASON_NO_SPACE},
	{ErrWrongKey, codes.FailedPrecondition, pluginpb.Reason_REASON_WRONG_KEY},
	{ErrCorrupt, codes.DataLoss, pluginpb.Reason_REASON_CORRUPT},
	{ErrUnsupported, codes.Unimplemented, pluginpb.Reason_REASON_UNSUPPORTED},
	{ErrUnavailable, codes.Unavailable, pluginpb.Reason_REASON_UNAVAILABLE},
	{context.Canceled, codes.Canceled, pluginpb.Reason_REASON_UNSPECIFIED},
	{context.DeadlineExceeded, codes.DeadlineExceeded, pluginpb.Reason_REASON_UNSPECIFIED},
}

// longestWait keeps a wait that nobody would live to see from overflowing.
const longestWait = 365 * 24 * time.Hour

// maxText keeps a status well below the size of headers that gRPC accepts.
const maxText = 64 << 10

// Status returns err as gRPC sends it. The name is that of the object concerned.
// What has been made ready already stays as it is. Any other status is an
// author's, from a library that speaks gRPC too: it must not be taken for what
// gRPC itself says of this call.
func Status(err error, name string) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(ready); ok { //nolint:errorlint // what wraps one is an author's own
		return err
	}
	c, detail := codes.Unknown, &pluginpb.ErrorDetail{
		Retryable: errors.Is(err, ErrUnavailable),
		Hint:      clean(Hint(err)),
		Name:      clean(name),

		RetryAfterMs: (min(RetryAfter(err), longestWait) + time.Millisecond - 1).Milliseconds(), // not sooner
	}
	for _, row := range table {
		if errors.Is(err, row.kind) {
			c, detail.Reason = row.code, row.reason
			break
		}
	}
	s, derr := status.New(c, clean(err.Error())).WithDetails(detail)
	if derr != nil {
		s = status.New(c, clean(err.Error()))
	}
	return ready{s.Err(), s}
}

// A ready error is one that gRPC sends as it is.
type ready struct {
	error
	status *status.Status
}

// GRPCStatus is what gRPC looks for.
func (r ready) GRPCStatus() *status.Status { return r.status }

// clean makes s fit for the wire, which takes UTF-8 only.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + " ..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// A Remote is an error from the other side of the wire.
type Remote struct {
	Text     string        // as the plugin said it
	Tip      string        // what the user can do about it
	Wait     time.Duration // before another try
	Code     codes.Code
	Reported bool // by the plugin; else by gRPC, because something else went wrong

	kinds []error
}

func (e *Remote) Error() string   { return e.Text }
func (e *Remote) Unwrap() []error { return e.kinds }

// Hint is what the function Hint looks for.
func (e *Remote) Hint() string { return e.Tip }

// RetryAfter is what the function RetryAfter looks for.
func (e *Remote) RetryAfter() time.Duration { return e.Wait }

// Error undoes Status: the result has the same text, and errors.Is finds the
// same kind in it. What is no status stays as it is.
func Error(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	e := &Remote{Text: s.Message(), Code: s.Code()}
	for _, d := range s.Details() {
		if d, ok := d.(*pluginpb.ErrorDetail); ok {
			e.report(d)
		}
	}
	if e.kinds == nil {
		e.kinds = kindOf(e.Code, e.Reported)
	}
	return e
}

func (e *Remote) report(d *pluginpb.ErrorDetail) {
	e.Reported, e.Tip = true, d.GetHint()
	e.Wait = time.Duration(min(max(0, d.GetRetryAfterMs()), longestWait.Milliseconds())) * time.Millisecond
	for _, row := range table {
		if row.reason == d.GetReason() && row.reason != pluginpb.Reason_REASON_UNSPECIFIED {
			e.kinds = append(e.kinds, row.kind)
		}
	}
	if d.GetRetryable() && d.GetReason() != pluginpb.Reason_REASON_UNAVAILABLE {
		e.kinds = append(e.kinds, ErrUnavailable)
	}
}

// kindOf is for a status without a known reason. gRPC says RESOURCE_EXHAUSTED
// itself, of a message that is too large: that is no full disk.
func kindOf(c codes.Code, reported bool) []error {
	if c == codes.Unauthenticated {
		return []error{ErrPermission}
	}
	for _, row := range table {
		if row.code == c && (reported || c != codes.ResourceExhausted) {
			return []error{row.kind}
		}
	}
	return nil
}
