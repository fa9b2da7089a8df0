package host

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A faultFS shows a directory at a second place, where one operation fails, or
// all from there on. It counts those that change something:
//
//	create write flush fsync setattr link rename unlink mkdir rmdir symlink mknod
//
// It is served by a process of its own: a garbage collection must never wait for
// a page that only this process could bring.
type faultFS struct {
	t       *testing.T
	backing string // the directory
	mount   string // the second place
	orders  *json.Encoder
	answers *json.Decoder
}

type (
	// A faultOrder starts the count anew and says what fails; nothing if N is 0.
	faultOrder struct {
		N     int
		Errno syscall.Errno
		On    bool // whatever comes after N, too
	}

	// A faultAnswer tells what happened since the order before.
	faultAnswer struct {
		Count  int
		Ops    []string // in order: the operation, and the name concerned
		Failed string   // the operation that failed, and the name concerned
		Err    string
	}
)

const faultsEnv = "BROCK_TEST_FAULTFS"

func init() {
	if dir := os.Getenv(faultsEnv); dir != "" {
		if err := serveFaults(dir, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// cannotMount ends a test that needs to mount something. In CI, where root can,
// that is a failure.
func cannotMount(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" && os.Getuid() == 0 {
		t.Fatalf("nothing can be mounted here: %v", err)
	}
	t.Skipf("nothing can be mounted here: %v", err)
}

func newFaultFS(t *testing.T) *faultFS {
	t.Helper()
	dir := newDisk(t).dir // where fsync costs nothing
	f := &faultFS{t: t, backing: filepath.Join(dir, "backing"), mount: filepath.Join(dir, "mount")}
	for _, d := range []string{f.backing, f.mount} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), faultsEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.orders, f.answers = json.NewEncoder(stdin), json.NewDecoder(bufio.NewReader(stdout))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the faulty file system: %v", err)
		}
	})
	var ready faultAnswer
	if err := f.answers.Decode(&ready); err != nil {
		t.Fatalf("the faulty file system did not start: %v", err)
	}
	if ready.Err != "" {
		cannotMount(t, fmt.Errorf("%s", ready.Err)) //nolint:err113 // it crossed a process
	}
	return f
}

// failAt makes the n-th operation from now on fail, and with on all after it.
// It returns what happened until now.
func (f *faultFS) failAt(n int, errno syscall.Errno, on bool) faultAnswer {
	f.t.Helper()
	var a faultAnswer
	if err := f.orders.Encode(faultOrder{n, errno, on}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.answers.Decode(&a); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// heal lets nothing fail any more.
func (f *faultFS) heal() faultAnswer { return f.failAt(0, 0, false) }

// serveFaults mounts, says so, and takes orders until there are no more.
func serveFaults(dir string, orders io.Reader, answers io.Writer) error {
	out := json.NewEncoder(answers)
	root, err := fs.NewLoopbackRoot(filepath.Join(dir, "backing"))
	if err != nil {
		return err
	}
	var never time.Duration // no cache: every call arrives here
	options := fs.Options{AttrTimeout: &never, EntryTimeout: &never, NegativeTimeout: &never}
	faulty := &faultyFS{RawFileSystem: fs.NewNodeFS(root, &options)}
	mount := filepath.Join(dir, "mount")
	server, err := fuse.NewServer(faulty, mount, &fuse.MountOptions{DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20})
	if err != nil {
		return out.Encode(faultAnswer{Err: err.Error()})
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return out.Encode(faultAnswer{Err: err.Error()})
	}
	if err := out.Encode(faultAnswer{}); err != nil {
		return err
	}
	for in := json.NewDecoder(orders); ; {
		var o faultOrder
		if err := in.Decode(&o); err != nil {
			return unix.Unmount(mount, unix.MNT_DETACH)
		}
		if err := out.Encode(faulty.order(o)); err != nil {
			return err
		}
	}
}

// A faultyFS is the file system itself.
type faultyFS struct {
	fuse.RawFileSystem

	mu   sync.Mutex
	next faultOrder
	done faultAnswer
}

func (f *faultyFS) order(o faultOrder) faultAnswer {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := f.done
	f.next, f.done = o, faultAnswer{}
	return done
}

// fails counts an operation and decides what becomes of it.
func (f *faultyFS) fails(op, name string) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done.Count++
	f.done.Ops = append(f.done.Ops, strings.TrimSpace(op+" "+name))
	if o := f.next; o.N > 0 && (f.done.Count == o.N || o.On && f.done.Count > o.N) {
		if f.done.Failed == "" {
			f.done.Failed = op + " " + name
		}
		return fuse.Status(o.Errno)
	}
	return fuse.OK
}

func (f *faultyFS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if s := f.fails("create", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Create(cancel, in, name, out)
}

func (f *faultyFS) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if s := f.fails("write", ""); s != fuse.OK {
		return 0, s
	}
	return f.RawFileSystem.Write(cancel, in, data)
}

func (f *faultyFS) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if s := f.fails("write", ""); s != fuse.OK {
		return 0, s
	}
	return f.RawFileSystem.Writev(cancel, in, data)
}

func (f *faultyFS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	if s := f.fails("flush", ""); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Flush(cancel, in)
}

func (f *faultyFS) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if s := f.fails("fsync", ""); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Fsync(cancel, in)
}

func (f *faultyFS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if s := f.fails("fsync", "of a directory"); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.FsyncDir(cancel, in)
}

func (f *faultyFS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if s := f.fails("setattr", ""); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.SetAttr(cancel, in, out)
}

func (f *faultyFS) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if s := f.fails("link", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Link(cancel, in, name, out)
}

func (f *faultyFS) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if s := f.fails("rename", from+" to "+to); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Rename(cancel, in, from, to)
}

func (f *faultyFS) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if s := f.fails("unlink", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Unlink(cancel, in, name)
}

func (f *faultyFS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if s := f.fails("mkdir", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (f *faultyFS) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if s := f.fails("rmdir", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Rmdir(cancel, in, name)
}

func (f *faultyFS) Symlink(cancel <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	if s := f.fails("symlink", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Symlink(cancel, in, to, name, out)
}

func (f *faultyFS) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if s := f.fails("mknod", name); s != fuse.OK {
		return s
	}
	return f.RawFileSystem.Mknod(cancel, in, name, out)
}
