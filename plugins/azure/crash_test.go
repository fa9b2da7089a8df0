package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// bigSize is more than flow control holds back, so that the plugin has sent some of
// it when all of it has been given away.
const bigSize = 20 << 20

// stopAt is a source that says when it has been read, and waits before its end.
func stopAt(end error) (r io.Reader, reached <-chan struct{}, goOn func()) {
	at, on := make(chan struct{}), make(chan struct{})
	return io.MultiReader(bytes.NewReader(pattern(bigSize)), readerFunc(func([]byte) (int, error) {
		close(at)
		<-on
		return 0, end
	})), at, func() { close(on) }
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A plugin that is killed in the middle of a Put leaves nothing to be seen. Its
// blocks are told of by doctor, and are in nobody's way.
func TestKilledDuringPut(t *testing.T) {
	p := onAzurite(t)
	settings := p.settings(map[string]any{"block_size": "1MiB"})
	proc := sdktest.Start(t)
	d, err := proc.OpenDestination(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	src, reached, goOn := stopAt(io.EOF)
	result := make(chan error, 1)
	go func() { result <- d.Put(t.Context(), "deep/object", src) }()
	<-reached
	process, err := os.FindProcess(proc.Pid())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	goOn()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Put: %v, want an error that tells of the signal", err)
	}

	d = plugged(t, settings)
	if got := names(t, d, ""); len(got) > 0 {
		t.Errorf("List = %q, want nothing", got)
	}
	if _, err := d.Get(t.Context(), "deep/object", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get: %v, want ErrNotExist", err)
	}
	leftovers := func() string {
		reporter, ok := d.(sdk.Reporter)
		if !ok {
			t.Fatal("no Reporter")
		}
		found, err := reporter.Report(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Name == "uploads" {
				return f.Detail
			}
		}
		return ""
	}
	if got := leftovers(); !strings.HasPrefix(got, "1 unfinished, such as that of deep/object; their blocks: ") {
		t.Errorf("doctor says of leftovers %q", got)
	}
	put(t, d, "deep/object", []byte("small"))
	if got := get(t, d, "deep/object"); string(got) != "small" {
		t.Errorf("Get = %q", got)
	}
	if got := leftovers(); got != "no unfinished ones" {
		t.Errorf("after a Put of that name, doctor says of leftovers %q", got)
	}
}

// Racers in several processes, which share nothing but the container: of those
// that put an object one wins, and of those that replace one as well.
func TestRacersInProcesses(t *testing.T) {
	p := onAzurite(t)
	const processes, each = 4, 16
	all := make([]sdk.Destination, processes)
	for i := range all {
		all[i] = plugged(t, p.settings())
	}
	for _, size := range []int{100, 2*minBlockSize + 100} {
		name := fmt.Sprint("race/", size)
		var wins atomic.Int32
		race(processes*each, func(i int) {
			err := all[i%processes].Put(t.Context(), name, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, size)))
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, sdk.ErrExist) {
				t.Errorf("a Put that lost: %v, want ErrExist", err)
			}
		})
		got := get(t, all[0], name)
		if wins.Load() != 1 || len(got) != size || bytes.Count(got, got[:1]) != size {
			t.Errorf("%d of %d Puts won, and the object has %d bytes, not all of one", wins.Load(), processes*each, len(got))
		}
		replacer := func(i int) sdk.Replacer {
			r, ok := all[i%processes].(sdk.Replacer)
			if !ok {
				t.Error("no Replacer")
			}
			return r
		}
		version, err := replacer(0).Version(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		wins.Store(0)
		race(processes*each, func(i int) {
			_, err := replacer(i).Replace(t.Context(), name, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, size+1)), version)
			if err == nil {
				wins.Add(1)
			} else if !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("a Replace that lost: %v, want ErrConflict", err)
			}
		})
		got = get(t, all[0], name)
		if wins.Load() != 1 || len(got) != size+1 || bytes.Count(got, got[:1]) != size+1 {
			t.Errorf("%d of %d Replaces won, and the object has %d bytes, not all of one", wins.Load(), processes*each, len(got))
		}
	}
}

func race(n int, run func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { run(i) })
	}
	wg.Wait()
}

// memoryAllowed is how many KiB the plugin may take.
var memoryAllowed = 128 << 10

// As many Puts as there may be at once, of blocks of the usual size, take no more
// than 128 MiB.
func TestMemory(t *testing.T) {
	p := onAzurite(t)
	proc := sdktest.Start(t)
	d, err := proc.OpenDestination(t.Context(), p.settings(map[string]any{"block_size": nil}))
	if err != nil {
		t.Fatal(err)
	}
	data := pattern(24 << 20)
	race(concurrentPuts, func(i int) {
		if err := d.Put(t.Context(), fmt.Sprint("large/", i), struct{ io.Reader }{bytes.NewReader(data)}); err != nil {
			t.Error(err)
		}
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", proc.Pid()))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil || kib > memoryAllowed {
				t.Errorf("the plugin took up to %d KiB, %v; want 128 MiB at most", kib, err)
			}
			t.Logf("the plugin took up to %d KiB", kib)
		}
	}
}
