package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// cross takes an error over the wire.
func cross(err error, name string) error {
	s, _ := status.FromError(Status(err, name))
	data, _ := proto.Marshal(s.Proto())
	p := s.Proto()
	proto.Reset(p)
	if err := proto.Unmarshal(data, p); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return Error(status.FromProto(p).Err())
}

func TestKindsCross(t *testing.T) {
	for _, row := range table {
		in := fmt.Errorf("bucket b: %w", fmt.Errorf("object o: %w", row.kind))
		out := cross(in, "o")
		if status.Code(Status(in, "o")) != row.code {
			t.Errorf("%v has code %v, want %v", row.kind, status.Code(Status(in, "o")), row.code)
		}
		for _, other := range table {
			if errors.Is(out, other.kind) != (other.code == row.code) {
				t.Errorf("%v arrives as %v: %v", row.kind, other.kind, errors.Is(out, other.kind))
			}
		}
		if out.Error() != in.Error() {
			t.Errorf("text %q arrives as %q", in, out)
		}
	}
}

func TestTextCrosses(t *testing.T) {
	for _, text := range []string{"", "two\nlines\t", "ümläut %20 \x00", strings.Repeat("x", maxText)} {
		if out := cross(errors.New(text), ""); out.Error() != text {
			t.Errorf("%.40q arrives as %.40q", text, out)
		}
	}
	if out := cross(errors.New("bad \xff"), ""); out.Error() != "bad \uFFFD" {
		t.Errorf("got %q", out)
	}
	if out := cross(errors.New(strings.Repeat("ü", maxText)), ""); len(out.Error()) > maxText+8 {
		t.Errorf("%d bytes", len(out.Error()))
	}
}

func TestSecondKindHintAndNameCross(t *testing.T) {
	in := WithHint(fmt.Errorf("%w: %w", ErrNoSpace, ErrUnavailable), "wait")
	out := cross(in, "o")
	if !errors.Is(out, ErrNoSpace) || !errors.Is(out, ErrUnavailable) || Hint(out) != "wait" {
		t.Errorf("got %v, hint %q", out, Hint(out))
	}
	s, _ := status.FromError(Status(in, "o"))
	if d := s.Details()[0].(*pluginpb.ErrorDetail); d.GetName() != "o" || !d.GetRetryable() {
		t.Errorf("detail %v", d)
	}
	if again := cross(out, "o"); !errors.Is(again, ErrUnavailable) || Hint(again) != "wait" {
		t.Errorf("second crossing: %v", again)
	}
}

// What gRPC says itself must not be taken for what the storage says.
func TestStatusWithoutDetail(t *testing.T) {
	for c, want := range map[codes.Code]error{
		codes.NotFound: ErrNotExist, codes.Unauthenticated: ErrPermission, codes.Unimplemented: ErrUnsupported,
		codes.Canceled: context.Canceled, codes.ResourceExhausted: nil, codes.Internal: nil,
	} {
		err := Error(status.Error(c, "x"))
		if want != nil && !errors.Is(err, want) || want == nil && errors.Is(err, ErrNoSpace) {
			t.Errorf("%v: %v; want %v", c, err, want)
		}
		var r *Remote
		if !errors.As(err, &r) || r.Reported {
			t.Errorf("%v counts as reported", c)
		}
	}
}

func TestUnknownReasonFallsBackOnTheCode(t *testing.T) {
	s, _ := status.New(codes.ResourceExhausted, "x").WithDetails(&pluginpb.ErrorDetail{Reason: 99})
	if err := Error(s.Err()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v; want ErrNoSpace", err)
	}
}

func TestErrorsOfTheSystemHaveAKind(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOENT: ErrNotExist, syscall.EACCES: ErrPermission, syscall.EEXIST: ErrExist,
	} {
		if out := cross(errno, ""); !errors.Is(out, want) {
			t.Errorf("%v arrives as %v; want %v", errno, out, want)
		}
	}
}

// What a storage says of the time until another try arrives, and never sooner
// than it was said.
func TestRetryAfterCrosses(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Nanosecond: time.Millisecond, 1500 * time.Millisecond: 1500 * time.Millisecond,
		1<<63 - 1: longestWait,
	} {
		in := fmt.Errorf("bucket b: %w", WithRetryAfter(fmt.Errorf("slow down: %w", ErrUnavailable), wait))
		out := cross(in, "")
		if got := RetryAfter(out); got != want {
			t.Errorf("%v arrives as %v, want %v", wait, got, want)
		}
		if out.Error() != in.Error() || !errors.Is(out, ErrUnavailable) {
			t.Errorf("%v arrives as %v", in, out)
		}
	}
	s, _ := status.New(codes.Unavailable, "x").WithDetails(&pluginpb.ErrorDetail{RetryAfterMs: -5})
	if got := RetryAfter(Error(s.Err())); got != 0 {
		t.Errorf("a wait of -5 ms arrives as %v", got)
	}
}

func TestNoError(t *testing.T) {
	if Status(nil, "") != nil || Error(nil) != nil || WithHint(nil, "x") != nil || WithRetryAfter(nil, 1) != nil || Hint(io.EOF) != "" {
		t.Error("an error from nothing")
	}
}

// A library that speaks gRPC to a storage returns what looks like our own wire.
func TestAuthorsStatusIsTheAuthors(t *testing.T) {
	in := status.Error(codes.Unavailable, "storage is away")
	out := cross(in, "o")
	var r *Remote
	if !errors.As(out, &r) || !r.Reported || errors.Is(out, ErrUnavailable) || out.Error() != in.Error() {
		t.Errorf("got %#v; want it reported, and of no kind", out)
	}
	once := Status(fmt.Errorf("x: %w", ErrNoSpace), "o")
	if twice := Status(once, "p"); twice != once { //nolint:errorlint // the very same
		t.Errorf("made ready twice: %v", twice)
	}
}
