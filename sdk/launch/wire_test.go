//go:build unix

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A script is what a host sends in a Put.
type script []*pluginpb.PutRequest

func opening(d *destination, name string) *pluginpb.PutRequest {
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{
		Instance: d.id, Name: name, Condition: pluginpb.Condition_CONDITION_CREATE_ONLY,
	}}}
}

func step(f *pluginpb.Frame) *pluginpb.PutRequest {
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Frame{Frame: f}}
}

// next is the frame with data, as it is generated.
func next(s *frame.Sum, data []byte) *pluginpb.Frame {
	f := s.Next(mem.BufferSlice{mem.SliceBuffer(data)})
	return &pluginpb.Frame{Offset: f.Offset, Crc32C: f.CRC32C, Data: data}
}

func commit(s frame.Sum) *pluginpb.PutRequest {
	return &pluginpb.PutRequest{Step: &pluginpb.PutRequest_Commit{
		Commit: &pluginpb.PutCommit{Size: s.Size, Crc32C: s.CRC32C},
	}}
}

// send plays a script and half-closes.
func send(ctx context.Context, d *destination, s script) error {
	stream, err := d.svc.Put(ctx, grpc.MaxCallSendMsgSize(1<<30)) // the plugin has its own limit
	if err != nil {
		return err
	}
	for _, msg := range s {
		if err := stream.Send(msg); err != nil {
			break // Recv says why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// near returns the near end of a destination, without its abilities.
func near(d sdk.Destination) *destination {
	switch d := d.(type) {
	case *destination:
		return d
	case replacer:
		return near(d.closingDestination)
	}
	panic(fmt.Sprintf("%T", d))
}

func TestOnlyAMatchingCommitStores(t *testing.T) {
	t.Parallel()
	_, opened := open(t, "hostile", nil)
	d := near(opened)
	for what, play := range map[string]func(begin *pluginpb.PutRequest) (script, codes.Code){
		"nothing":         func(*pluginpb.PutRequest) (script, codes.Code) { return nil, codes.Unknown },
		"half-close open": func(b *pluginpb.PutRequest) (script, codes.Code) { return script{b}, codes.Unknown },
		"half-close frame": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return script{b, step(next(new(frame.Sum), []byte("data")))}, codes.Unknown
		},
		"no open": func(*pluginpb.PutRequest) (script, codes.Code) {
			return script{commit(frame.Sum{})}, codes.InvalidArgument
		},
		"empty step": func(b *pluginpb.PutRequest) (script, codes.Code) { return script{b, {}}, codes.InvalidArgument },
		"two opens": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return script{b, b, commit(frame.Sum{})}, codes.InvalidArgument
		},
		"wrong size": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return damaged(b, func(_ *pluginpb.Frame, s *frame.Sum) { s.Size++ }), codes.Unknown
		},
		"wrong checksum": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return damaged(b, func(_ *pluginpb.Frame, s *frame.Sum) { s.CRC32C++ }), codes.Unavailable
		},
		"flipped bit": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return damaged(b, func(f *pluginpb.Frame, _ *frame.Sum) { f.Data[0] ^= 1 }), codes.Unavailable
		},
		"gap": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return damaged(b, func(f *pluginpb.Frame, _ *frame.Sum) { f.Offset++ }), codes.Unknown
		},
		"two commits": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return script{b, commit(frame.Sum{}), commit(frame.Sum{})}, codes.Unknown
		},
		"frame after commit": func(b *pluginpb.PutRequest) (script, codes.Code) {
			return script{b, commit(frame.Sum{}), step(next(new(frame.Sum), []byte("more")))}, codes.Unknown
		},
		"unknown condition": func(b *pluginpb.PutRequest) (script, codes.Code) {
			b.GetOpen().Condition = 99
			return script{b, commit(frame.Sum{})}, codes.Unimplemented
		},
		"unknown instance": func(b *pluginpb.PutRequest) (script, codes.Code) {
			b.GetOpen().Instance = "other"
			return script{b, commit(frame.Sum{})}, codes.InvalidArgument
		},
		"name that climbs": func(b *pluginpb.PutRequest) (script, codes.Code) {
			b.GetOpen().Name = "../good"
			return script{b, commit(frame.Sum{})}, codes.InvalidArgument
		},
		"frame too large": func(b *pluginpb.PutRequest) (script, codes.Code) {
			var s frame.Sum
			return script{b, step(next(&s, make([]byte, frame.Size+1))), commit(s)}, codes.Unknown
		},
		"message too large": func(b *pluginpb.PutRequest) (script, codes.Code) {
			var s frame.Sum
			return script{b, step(next(&s, make([]byte, 3*frame.Size))), commit(s)}, codes.ResourceExhausted
		},
	} {
		for _, author := range []string{"good", "parts", "distracted"} {
			s, want := play(opening(d, author))
			err := send(t.Context(), d, s)
			if status.Code(err) != want {
				t.Errorf("%s: %v; want %v", what, err, want)
			}
			if v, err := d.Get(t.Context(), author, 0); !errors.Is(err, sdk.ErrNotExist) {
				t.Errorf("%s: Get = %v, %v; want ErrNotExist", what, v, err)
				_ = d.Delete(t.Context(), author)
			}
		}
	}
	if err := send(t.Context(), d, damaged(opening(d, "good"), func(*pluginpb.Frame, *frame.Sum) {})); err != nil {
		t.Errorf("what is in order: %v", err)
	}
}

// damaged is a Put that is in order, except for what break does.
func damaged(begin *pluginpb.PutRequest, damage func(*pluginpb.Frame, *frame.Sum)) script {
	var s frame.Sum
	f := next(&s, []byte("data"))
	damage(f, &s)
	return script{begin, step(f), commit(s)}
}

func TestCancelledAndKilledPutsStoreNothing(t *testing.T) {
	t.Parallel()
	_, opened := open(t, "hostile", nil)
	d := near(opened)
	for range 50 { // the commit and the cancel race
		ctx, cancel := context.WithCancel(t.Context())
		r := io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		}))
		if err := d.Put(ctx, "cancelled", r); !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v; want context.Canceled", err)
		}
	}
	if _, err := d.Get(t.Context(), "cancelled", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get after a cancelled Put: %v; want ErrNotExist", err)
	}
	err := d.Put(t.Context(), "crash", strings.NewReader("some"))
	if err == nil || !strings.Contains(err.Error(), "exit status 9") {
		t.Errorf("Put to a plugin that exits: %v", err)
	}
}

func TestCarelessAuthorIsFoundOut(t *testing.T) {
	t.Parallel()
	_, opened := open(t, "hostile", nil)
	d := near(opened)
	err := send(t.Context(), d, script{opening(d, "careless")})
	if err == nil || !strings.Contains(err.Error(), "never committed") {
		t.Errorf("Put: %v; want one that says so", err)
	}
}

func TestLawlessPluginIsFoundOut(t *testing.T) {
	t.Parallel()
	_, d := open(t, "lawless", map[string]any{"token": sdk.NewSecret("canary-canary")})
	for name, want := range map[string]string{
		"noinfo":  "begins without info",
		"noend":   "ended before the object did",
		"flipped": "checksum does not match",
		"gap":     "frame at offset 1, want one at 0",
		"short":   "4 bytes arrived of 5",
		"sum":     "checksum of all 4 bytes does not match",
		"more":    "goes on after its end",
		"empty":   "neither frame nor end",
		"hollow":  "a frame without a byte",
		"large":   "larger than max",
		"huge":    "frame of 1048577 bytes",
	} {
		data, err := readAll(d, name)
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Get(%s) = %q, %v; want %q", name, data, err, want)
		}
	}
	if data, err := readAll(d, "good"); string(data) != "good" || err != nil {
		t.Errorf("Get(good) = %q, %v", data, err)
	}
	for _, prefix := range []string{"order/", "twice/", "prefix/", "endless/"} {
		if names, err := listAll(d, prefix); err == nil {
			t.Errorf("List(%s) = %q; want an error", prefix, names)
		}
	}
	if names, err := listAll(d, "secret/"); err == nil || len(err.Error()) > 1000 || strings.Contains(err.Error(), "canary") {
		t.Errorf("List(secret/) = %q, %.2000v; want a short error without a secret", names, err)
	}
	if names, err := listAll(d, "good/"); len(names) != 2 || err != nil {
		t.Errorf("List(good/) = %q, %v", names, err)
	}
	zeros := io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), 64<<20)
	if err := d.Put(context.Background(), "early", zeros); err == nil || !strings.Contains(err.Error(), "before it was committed") {
		t.Errorf("Put to a plugin that does not read: %v", err)
	}
}

func readAll(d sdk.Destination, name string) ([]byte, error) {
	r, err := d.Get(context.Background(), name, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func listAll(d sdk.Destination, prefix string) (names []string, err error) {
	for obj, err := range d.List(context.Background(), prefix) {
		if err != nil {
			return names, err
		}
		names = append(names, obj.Name)
	}
	return names, nil
}

func TestListOfManyPages(t *testing.T) {
	t.Parallel()
	_, d := open(t, "memory", nil)
	long := strings.Repeat("n", 1000)
	for i := range 300 {
		if err := d.Put(t.Context(), fmt.Sprintf("l/%s%03d", long, i), strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	names, err := listAll(d, "l/")
	if len(names) != 300 || err != nil {
		t.Errorf("List = %d names, %v; want 300", len(names), err)
	}
	for range d.List(t.Context(), "l/") {
		break // leaves no goroutine
	}
	if names, err := listAll(d, ""); len(names) != 300 || err != nil {
		t.Errorf("List of everything = %d names, %v; want 300", len(names), err)
	}
	for _, prefix := range []string{"/", "../", "a//", "a/../b", "\x00"} {
		if _, err := listAll(d, prefix); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("List(%q): %v; want ErrInvalid", prefix, err)
		}
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	p, opened := open(t, "memory", nil)
	_, err := pluginpb.NewMetaServiceClient(p.conn).Open(t.Context(), &pluginpb.OpenRequest{Instance: near(opened).id})
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("second Open of an instance: %v; want AlreadyExists", err)
	}
	for range 2 {
		_, err := pluginpb.NewMetaServiceClient(p.conn).Close(t.Context(), &pluginpb.CloseRequest{Instance: near(opened).id})
		if err != nil {
			t.Error("Close:", err)
		}
	}
}

// Two places in one process do not see each other.
func TestInstancesAreApart(t *testing.T) {
	t.Parallel()
	p, a := open(t, "memory", nil)
	b := openDestination(t, p, nil)
	if err := a.Put(t.Context(), "x", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if names, err := listAll(b, ""); len(names) != 0 || err != nil {
		t.Errorf("the other instance lists %q, %v", names, err)
	}
}
