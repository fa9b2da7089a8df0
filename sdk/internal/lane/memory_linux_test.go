package lane

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/socket"
	"github.com/brock-backup/brock/sdk/internal/wire"
)

// ends returns the two of a lane without calls. What the first sends in memory, lies
// in one of memories.
func ends(t *testing.T, memories *sync.Pool) (from, to *lane) {
	t.Helper()
	ours, theirs, err := socket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	from, to = newLane(ours, memories), newLane(inherited(t, theirs), nil)
	from.out.wanted = true
	t.Cleanup(from.close)
	t.Cleanup(to.close)
	return from, to
}

// sendAll sends data, and whatever becomes of it says that there is no more.
func sendAll(from *lane, data []byte) error {
	_, _, err := frame.Copy(bytes.NewReader(data), &from.out, func(f *wire.Frame) error { return from.write(f) })
	return errors.Join(err, from.end())
}

func receiveAll(to *lane) ([]byte, error) {
	return io.ReadAll(&frame.Reader{Next: func(*frame.Sum) (*wire.Frame, error) {
		f, err := to.read()
		if f == nil && err == nil {
			err = io.EOF
		}
		return f, err
	}})
}

// Frames take memory from the second on, and as many as there are.
func TestFramesTakeMemory(t *testing.T) {
	for _, size := range []int{1, frame.Size, frame.Size + 1, 3*frame.Size - 1, 40*frame.Size + 17} {
		from, to := ends(t, new(sync.Pool))
		data, sent := make([]byte, size), make(chan error, 1)
		_, _ = rand.Read(data) // no two frames are alike
		go func() { sent <- sendAll(from, data) }()
		got, err := receiveAll(to)
		if err = errors.Join(err, <-sent); err != nil || !bytes.Equal(got, data) {
			t.Errorf("of %d bytes, %d arrive, %v", size, len(got), err)
		}
		if passed := from.out.passed; passed != (size > frame.Size) {
			t.Errorf("%d bytes: memory was passed: %v", size, passed)
		}
		from.out.release()
	}
}

// Where there is no memory to be had, frames take the socket.
func TestNoMemory(t *testing.T) {
	from, to := ends(t, new(sync.Pool))
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	data, sent := pattern(5*frame.Size+1), make(chan error, 1)
	go func() { sent <- sendAll(from, data) }()
	got, err := receiveAll(to)
	if err = errors.Join(err, <-sent); err != nil || !bytes.Equal(got, data) || from.out.passed {
		t.Errorf("%d bytes arrive, %v; memory was passed: %v", len(got), err, from.out.passed)
	}
	from.out.release()
}

// The next call gets a memory only when nobody reads from it any more.
func TestMemoryOfTwoCalls(t *testing.T) {
	memories := new(sync.Pool)
	from, to := ends(t, memories)
	first, second := pattern(3*frame.Size), bytes.Repeat([]byte("second"), frame.Size/2)
	if err := sendAll(from, first); err != nil { // nobody reads yet
		t.Fatal(err)
	}
	ended := make(chan error)
	begun := make(chan bool)
	from2, to2 := ends(t, memories)
	go func() {
		close(begun)
		from.out.release()
		ended <- sendAll(from2, second)
	}()
	<-begun
	got, err := receiveAll(to)
	if err != nil || !bytes.Equal(got, first) {
		t.Errorf("the first: %d bytes, %v", len(got), err)
	}
	got, err = receiveAll(to2)
	if err = errors.Join(err, <-ended); err != nil || !bytes.Equal(got, second) {
		t.Errorf("the second: %d bytes, %v", len(got), err)
	}
	from2.out.release()
}

// A call that is given up does not wait for an end that reads no more.
func TestReleaseOfABrokenLane(t *testing.T) {
	from, to := ends(t, new(sync.Pool))
	if err := sendAll(from, pattern(3*frame.Size)); err != nil {
		t.Fatal(err)
	}
	to.close()
	from.out.release()
}

// Where there is no memory, or less of it than there should be, the frame fails and nothing
// else: the sender may be any program.
func TestMemoryThatIsNone(t *testing.T) {
	head := func(place byte) []byte {
		return append(bytes.Repeat([]byte{0}, 8), 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, place) // 256 bytes
	}
	file := func(size int64) *os.File {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		f := os.NewFile(uintptr(fd), "test")
		if err := errors.Join(err, f.Truncate(size)); err != nil {
			t.Fatal(err)
		}
		return f
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		file  *os.File
		place byte
		ok    bool
	}{
		{"no memory", nil, 1, false},
		{"memory", file(memorySize), slots, true},
		{"a place beyond it", file(memorySize), slots + 1, false},
		{"a short one", file(frame.Size), 2, false},
		{"an empty one", file(0), 1, false},
		{"a device", zero, 1, false},
	} {
		from, to := ends(t, new(sync.Pool))
		var err error
		if c.file == nil {
			_, err = from.conn.Write(head(c.place))
		} else {
			err = (&memory{file: c.file}).pass(from.conn, head(c.place))
			defer c.file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err := to.read()
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, errNoMemory) {
			t.Errorf("%s: %v, %v", c.what, f, err)
		}
		if f != nil {
			f.Data.Free()
		}
	}
}

// The other end cannot shorten what is written into, and what nobody needs is
// given back.
func TestMemory(t *testing.T) {
	m := newMemory()
	if m == nil {
		t.Fatal("no memory")
	}
	if err := m.file.Truncate(0); err == nil {
		t.Error("it can be shortened")
	}
	mapped := func() bool {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(maps), "memfd:brock-lane")
	}
	if !mapped() {
		t.Error("it is not mapped")
	}
	for range 1000 {
		if runtime.GC(); !mapped() { // also those of other tests
			return
		}
	}
	t.Error("it stays mapped")
}
