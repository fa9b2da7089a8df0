//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// big is more than flow control holds back, so that the plugin has written some
// of it when all of it has been sent.
const big = 20 << 20

// stopAt is a source that says when it has been read, and waits before its end.
func stopAt(end error) (r io.Reader, reached <-chan struct{}, goOn func()) {
	at, on := make(chan struct{}), make(chan struct{})
	return io.MultiReader(io.LimitReader(endless{}, big), readerFunc(func([]byte) (int, error) {
		close(at)
		<-on
		return 0, end
	})), at, func() { close(on) }
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

// A plugin that is killed in the middle of a Put leaves nothing to be seen, and
// a hidden file that a later Put removes.
func TestKilledDuringPut(t *testing.T) {
	base := t.TempDir()
	p := sdktest.Start(t)
	d, err := p.OpenDestination(t.Context(), map[string]any{"uri": base})
	if err != nil {
		t.Fatal(err)
	}
	src, reached, goOn := stopAt(io.EOF)
	result := make(chan error, 1)
	go func() { result <- d.Put(t.Context(), "deep/object", src) }()
	<-reached
	if left := hiddenFiles(t, base); len(left) != 1 {
		t.Fatalf("during the Put there is %q, want one hidden file", left)
	}
	process, err := os.FindProcess(p.Pid())
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

	d = plugged(t, base)
	if got := names(t, d, ""); len(got) > 0 {
		t.Errorf("List = %q, want nothing", got)
	}
	left := hiddenFiles(t, base)
	if len(left) != 1 {
		t.Fatalf("after the kill there is %q, want one hidden file", left)
	}
	putString(t, d, "first", "x")
	if now := hiddenFiles(t, base); len(now) != 1 {
		t.Errorf("a file that may be somebody's was removed at once")
	}
	age(t, left[0], 2*time.Minute)
	names(t, d, "")
	if now := hiddenFiles(t, base); len(now) != 1 {
		t.Error("a List removed something")
	}
	putString(t, d, "second", "x")
	if now := hiddenFiles(t, base); len(now) > 0 {
		t.Errorf("still left over: %q", now)
	}
	if _, err := os.Stat(filepath.Join(base, "deep")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the leftover is still there: %v", err)
	}
	putString(t, d, "deep/object", "x")
}

// A Put that is slow, and looks dead but for its lock, is left alone.
func TestCollectionSparesTheLiving(t *testing.T) {
	base := t.TempDir()
	slow, other := plugged(t, base), plugged(t, base)
	src, reached, goOn := stopAt(io.EOF)
	result := make(chan error, 1)
	go func() { result <- slow.Put(t.Context(), "slow", src) }()
	<-reached
	left := hiddenFiles(t, base)
	if len(left) != 1 {
		t.Fatalf("during the Put there is %q, want one hidden file", left)
	}
	age(t, left[0], 100*24*time.Hour)
	names(t, other, "")
	putString(t, other, "quick", "x")
	if now := hiddenFiles(t, base); len(now) != 1 {
		t.Errorf("the file of a Put that goes on was removed")
	}
	goOn()
	if err := <-result; err != nil {
		t.Errorf("the slow Put: %v", err)
	}
}

// Whether a writer of another machine lives cannot be known: its files are left
// alone for a day.
func TestCollectionOfOtherMachines(t *testing.T) {
	base := t.TempDir()
	d := openAt(t, base)
	for name, by := range map[string]time.Duration{
		".brock-tmp-00000000-YOUNG": 23 * time.Hour, ".brock-tmp-00000000-OLD": 25 * time.Hour, ".brock-what-is-this": 25 * time.Hour,
	} {
		if err := os.WriteFile(filepath.Join(base, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, filepath.Join(base, name), by)
	}
	names(t, d, "")
	putString(t, d, "x", "x")
	if left := hiddenFiles(t, base); len(left) != 1 || !strings.HasSuffix(left[0], "YOUNG") {
		t.Errorf("left over: %q, want the young one alone", left)
	}
}

// A Replace waits for the holder of the lock, but not for a dead one.
func TestLockOfTheDead(t *testing.T) {
	for name, c := range map[string]struct {
		holder string
		age    time.Duration
		dead   bool
	}{
		"just now, here":          {thisBoot(), 0, false},
		"a moment ago, here":      {thisBoot(), 5 * time.Second, true},
		"a moment ago, elsewhere": {"elsewhere", 5 * time.Second, false},
		"long ago, elsewhere":     {"elsewhere", 2 * time.Minute, true},
		"long ago, by nobody":     {"", 2 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			d := openAt(t, base)
			putString(t, d, "object", "old")
			version, err := d.Version(t.Context(), "object")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(base, lockName("object"))
			if err := os.WriteFile(path, []byte(c.holder), 0o600); err != nil {
				t.Fatal(err)
			}
			age(t, path, c.age)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			_, err = d.Replace(ctx, "object", strings.NewReader("new"), version)
			if c.dead && err != nil || !c.dead && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Replace: %v; the holder is dead: %v", err, c.dead)
			}
			if _, err := os.Stat(path); c.dead != errors.Is(err, os.ErrNotExist) {
				t.Errorf("the lock: %v; the holder is dead: %v", err, c.dead)
			}
		})
	}
}

// Racers in several processes, which share nothing but the directory.
func TestReplaceAcrossProcesses(t *testing.T) {
	base := t.TempDir()
	const processes, each = 4, 8
	wins := make(chan int, processes)
	putString(t, openAt(t, base), "counter", "")
	for range processes {
		d := plugged(t, base)
		r, ok := d.(sdk.Replacer)
		if !ok {
			t.Fatal("no Replacer")
		}
		go func() {
			won := 0
			for won < each {
				v, err := r.Version(t.Context(), "counter")
				if err != nil {
					t.Error(err)
					break
				}
				old := getString(t, d, "counter")
				_, err = r.Replace(t.Context(), "counter", bytes.NewReader([]byte(old+"x")), v)
				switch {
				case err == nil:
					won++
				case !errors.Is(err, sdk.ErrConflict):
					t.Error(err)
					won = each
				}
			}
			wins <- won
		}()
	}
	for range processes {
		<-wins
	}
	if got := getString(t, openAt(t, base), "counter"); len(got) != processes*each {
		t.Errorf("%d increments gave %d", processes*each, len(got))
	}
	if left := hiddenFiles(t, base); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
