package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

// connections returns which connection each method took, as a trace tells.
func connections(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for line := range strings.Lines(string(data)) {
		var l traceLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if method := filepath.Base(l.Method); l.Event == "begin" && !strings.HasPrefix(l.Method, "/plugin.") {
			seen[method] = l.Connection
		}
	}
	return seen
}

// use calls everything that a destination has.
func use(t *testing.T, d sdk.Destination) error {
	t.Helper()
	ctx := t.Context()
	object := bytes.Repeat([]byte("object"), frame.Size/3)
	if err := d.Put(ctx, "a", bytes.NewReader(object)); err != nil {
		return err
	}
	if got, err := readAll(d, "a"); err != nil || !bytes.Equal(got, object) {
		return fmt.Errorf("Get = %d bytes, %w", len(got), err)
	}
	if names, err := listAll(d, ""); err != nil || len(names) != 1 {
		return fmt.Errorf("List = %q, %w", names, err)
	}
	if _, err := d.(sdk.Replacer).Version(ctx, "a"); err != nil {
		return err
	}
	return d.Delete(ctx, "a")
}

func TestObjectsTakeTheSocket(t *testing.T) {
	t.Parallel()
	for _, noBulk := range []bool{false, true} {
		dir := t.TempDir()
		p := start(t, "memory", Options{TraceDir: dir, NoBulk: noBulk})
		if err := use(t, openDestination(t, p, nil)); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		bulk := "bulk"
		if noBulk {
			bulk = "control"
		}
		for method, got := range connections(t, dir) {
			want := "control"
			if method == "Put" || method == "Get" || method == "List" {
				want = bulk
			}
			if got != want {
				t.Errorf("NoBulk %t: %s on %s; want %s", noBulk, method, got, want)
			}
		}
	}
}

func TestPluginThatKnowsNoSocket(t *testing.T) {
	t.Parallel()
	p, d := open(t, "lawless", nil)
	if p.bulk != nil || p.runner.bulk == nil {
		t.Errorf("connection %v over %v; want none, over a socket", p.bulk, p.runner.bulk)
	}
	if _, err := p.runner.bulk.Write([]byte{0}); err == nil {
		t.Error("the socket is open")
	}
	if data, err := readAll(d, "good"); string(data) != "good" || err != nil {
		t.Errorf("Get = %q, %v", data, err)
	}
}

// A Put and a Get that are under way when the socket breaks fail, and what comes
// after them does not.
func TestBrokenSocket(t *testing.T) {
	t.Parallel()
	p, d := open(t, "hostile", nil)
	r, err := d.Get(t.Context(), "endless", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	zeros := readerFunc(func(p []byte) (int, error) { return len(p), nil })
	breaking := io.MultiReader(io.LimitReader(zeros, 4*frame.Size), readerFunc(func([]byte) (int, error) {
		p.runner.bulk.Close()
		return 0, io.EOF
	}))
	if err := d.Put(t.Context(), "b", io.MultiReader(breaking, io.LimitReader(zeros, 64*frame.Size))); err == nil {
		t.Error("Put: no error")
	} else if !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("Put: %v; want ErrUnavailable", err)
	}
	if n, err := io.Copy(io.Discard, r); err == nil || !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("Get = %d bytes, %v; want ErrUnavailable", n, err)
	}
	if err := use(t, d); err != nil {
		t.Error("afterwards:", err)
	}
	if !p.bulk.broken.Load() {
		t.Error("the socket is not broken")
	}
}

// sockets returns the sockets that a process has open.
func sockets(t *testing.T, pid int) map[string]bool {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for _, e := range entries {
		if link, err := os.Readlink(dir + e.Name()); err == nil && strings.HasPrefix(link, "socket:") {
			open[link] = true
		}
	}
	return open
}

func TestNobodyElseHasTheSocket(t *testing.T) {
	t.Parallel()
	var started sync.WaitGroup
	processes := make([]*Process, 6)
	for i := range processes {
		started.Go(func() { processes[i], _ = try(t, "hostile", Options{}) })
	}
	started.Wait()
	owner := map[string]int{}
	for s := range sockets(t, os.Getpid()) {
		owner[s] = os.Getpid()
	}
	for _, p := range processes {
		if p == nil {
			t.Fatal("a plugin did not start")
		}
		for s := range sockets(t, p.Pid()) {
			if other, ok := owner[s]; ok {
				t.Errorf("processes %d and %d have the same %s", p.Pid(), other, s)
			}
			owner[s] = p.Pid()
		}
		child := number(t, say(t.Context(), openDestination(t, p, nil), "fork"))
		if s := sockets(t, child); len(s) > 0 {
			t.Errorf("a process that the plugin started has %v", s)
		}
	}
}

// gRPC closes a socket a little after the call that made it do so.
func TestSocketsAreClosed(t *testing.T) {
	for _, role := range []string{"memory", "lawless", "early", "notls"} {
		before := len(sockets(t, os.Getpid()))
		p, err := try(t, role, Options{})
		if err == nil {
			err = p.Close()
		}
		for start := time.Now(); len(sockets(t, os.Getpid())) > before; time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // the kernel tells nobody
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%s: more than %d sockets are open (%v)", role, before, err)
			}
		}
	}
}
