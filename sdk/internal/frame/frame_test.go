package frame

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc/mem"

	"github.com/brock-backup/brock/sdk/internal/wire"
)

// over sends what r yields to a Reader.
func over(r io.Reader) *Reader {
	var frames []*wire.Frame
	sum, readErr, _ := Copy(r, wire.Pool, func(f *wire.Frame) error {
		f.Data.Ref()
		frames = append(frames, &wire.Frame{Offset: f.Offset, CRC32C: f.CRC32C, Data: f.Data})
		return nil
	})
	return &Reader{Next: func(s *Sum) (*wire.Frame, error) {
		if len(frames) == 0 && readErr != nil {
			return nil, readErr
		}
		if len(frames) == 0 {
			if err := s.Match(sum.Size, sum.CRC32C); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		f := frames[0]
		frames = frames[1:]
		return f, nil
	}}
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, Size - 1, Size, Size + 1, 3*Size + 7} {
		want := bytes.Repeat([]byte("abc"), size/3+1)[:size]
		for name, r := range map[string]io.Reader{
			"plain":         bytes.NewReader(want),
			"data with EOF": iotest.DataErrReader(bytes.NewReader(want)),
			"halves":        iotest.HalfReader(bytes.NewReader(want)),
		} {
			f := over(r)
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, want) || !f.Complete() || f.Err() != nil {
				t.Errorf("%s, %d bytes: %d arrive, %v", name, size, len(got), err)
			}
		}
	}
}

func TestWriteTo(t *testing.T) {
	for _, size := range []int{0, 1, Size, 3*Size + 7} {
		want := bytes.Repeat([]byte("abc"), size/3+1)[:size]
		f := over(bytes.NewReader(want))
		begin, err := io.ReadAll(io.LimitReader(f, 2))
		if err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		n, err := io.Copy(&rest, f)
		if got := append(begin, rest.Bytes()...); err != nil || int(n) != rest.Len() || !bytes.Equal(got, want) || !f.Complete() {
			t.Errorf("%d bytes: %d arrive, %v", size, len(got), err)
		}
	}
	broken := errors.New("broken")
	f := over(iotest.ErrReader(broken))
	if _, err := io.Copy(io.Discard, f); !errors.Is(err, broken) || f.Complete() {
		t.Errorf("from a broken source: %v", err)
	}
	f = over(bytes.NewReader(make([]byte, 2*Size)))
	n, err := io.Copy(writerFunc(func(p []byte) (int, error) { f.Close(); return len(p) / 2, broken }), f)
	if n != Size/2 || !errors.Is(err, broken) {
		t.Errorf("to a broken place: %d, %v", n, err)
	}
	if _, err := io.Copy(io.Discard, f); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v; want fs.ErrClosed", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestFailureIsNoEnd(t *testing.T) {
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("broken")} {
		f := over(io.MultiReader(bytes.NewReader([]byte("ab")), iotest.ErrReader(broken)))
		n, err := io.ReadFull(f, make([]byte, 3))
		if n == 3 || err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || f.Complete() {
			t.Errorf("%v arrives as %v", broken, err)
		}
		if f.Err() == nil {
			t.Errorf("%v: no Err", broken)
		}
	}
}

func TestReaderThatYieldsNothing(t *testing.T) {
	_, err, _ := Copy(readerFunc(func([]byte) (int, error) { return 0, nil }), wire.Pool, nil)
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v; want io.ErrNoProgress", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestClosedReader(t *testing.T) {
	f := over(bytes.NewReader([]byte("ab")))
	_, _ = f.Read(make([]byte, 1))
	f.Close()
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v; want fs.ErrClosed", err)
	}
}

// What fails its checksum is never handed out, however often it is asked for.
func TestDamagedFrameIsNotHandedOut(t *testing.T) {
	var failed error
	r := &Reader{
		Next: func(s *Sum) (*wire.Frame, error) {
			f := new(Sum).Next(mem.BufferSlice{mem.SliceBuffer("data")})
			f.CRC32C ^= 1
			return f, nil
		},
		Failed: func(err error) { failed = err },
	}
	for range 2 {
		if n, err := r.Read(make([]byte, 4)); n > 0 || err == nil {
			t.Errorf("Read = %d, %v; want the checksum's error", n, err)
		}
	}
	if failed == nil {
		t.Error("the failure was not told")
	}
}
