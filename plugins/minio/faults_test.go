package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

// A line is a bad connection to a bucket, which another client sees by a good
// one.
type line struct {
	*site
	*servers.Fault
}

func (l *lab) line(t *testing.T, s servers.S3) *line {
	t.Helper()
	return &line{l.site(t, s), servers.Proxy(t, s.Endpoint)}
}

// attempt takes a backup of a directory over the bad connection. Either it
// succeeds, and is there, or it says why not, and nothing is to be seen of it;
// then the next one, over a good connection, succeeds.
func (x *line) attempt(prefix, dir string, flags ...string) (survived bool) {
	x.t.Helper()
	good := x.location(prefix, "part_size=5MiB")
	before := len(x.list(good))
	args := append([]string{"backup", "-p", dir, "-l", x.through(x.Addr, prefix, "part_size=5MiB")}, flags...)
	got := x.try(args...)
	now := len(x.list(good))
	switch {
	case got.code == 0 && now == before+1:
		return true
	case got.code != 1 || now != before || !strings.Contains(got.stderr, "brock: "):
		x.t.Errorf("%d backups were listed, and after this one %d: %v", before, now, got)
	}
	x.t.Logf("%s: failed cleanly: %s", prefix, got.stderr)
	args[4] = good
	x.brock(args...)
	x.lists(good, before+1)
	return false
}

// whole makes sure that over the good connection everything is there, and
// nothing else, and returns the objects.
func (x *line) whole(prefix string) []string {
	x.t.Helper()
	x.brock("verify", "-l", x.location(prefix), "--restore")
	return x.complete(x.location(prefix), prefix)
}

// clean makes sure that there are no unfinished uploads either. Where the answer
// that begins one is lost, nobody knows of it.
func (x *line) clean(prefix string) {
	x.t.Helper()
	x.noUploads(prefix, x.whole(prefix))
}

// days backs two days up and restores them, all over the bad connection, and
// returns how many of the four succeeded.
func (x *line) days(prefix string) (succeeded int) {
	x.t.Helper()
	for n := 1; n <= 2; n++ {
		if x.attempt(prefix, x.lab.days[n]) {
			succeeded++
		}
	}
	for n := 1; n <= 2; n++ {
		dir := filepath.Join(x.dir, "over-bad-line")
		got := x.try("restore", "-l", x.through(x.Addr, prefix), "-p", dir, "--overwrite", "--backup_num", strconv.Itoa(n))
		switch {
		case got.code == 0:
			x.holds(dir, "v25-drops", n) // never a wrong one
			succeeded++
		case got.code != 1:
			x.t.Errorf("a restore that could not read: %v", got)
		}
	}
	return succeeded
}

// busy is a server that turns requests away.
func busy(t *testing.T, l *lab) {
	x := l.line(t, servers.MinIO(t))
	for i, share := range []float64{0.01, 0.10, 0.50} {
		prefix := fmt.Sprintf("busy-%.0f", share*100)
		x.Answer(share, uint64(i), servers.SlowDown)
		if n := x.days(prefix); n < 4 && share < 0.5 {
			t.Errorf("with 503 for %v of all requests %d of 4 commands succeeded", share, n)
		}
		x.clean(prefix)
	}
	x.Answer(0.10, 7, servers.SlowDown)
	if !x.attempt("parts", l.big) {
		t.Error("with 503 for a tenth of all requests a large backup failed")
	}
	x.clean("parts")

	// The server says how long it wants to be left alone.
	const wait = 3 * time.Second
	var mu sync.Mutex
	var asked []time.Time
	x.Do(func(r *http.Request) servers.Action {
		if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, ".backup") {
			return servers.Action{}
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, time.Now())
		if len(asked) > 1 {
			return servers.Action{}
		}
		a := servers.SlowDown
		a.Header = http.Header{"Retry-After": {"3"}}
		return a
	})
	if !x.attempt("later", l.days[1]) {
		t.Error("a backup failed because the server wanted to be left alone")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 2 || asked[1].Sub(asked[0]) < wait {
		t.Errorf("the server wanted to be left alone for %v, and was asked at %v", wait, asked)
	}
}

// badNetwork cuts connections and bodies, loses answers, and is slow.
func badNetwork(t *testing.T, l *lab) {
	x := l.line(t, servers.MinIO(t))
	for _, c := range []struct {
		name  string
		share float64
		what  servers.Action
	}{
		{"dropped", 0.2, servers.Action{Drop: true}},
		{"lost", 0.2, servers.Action{Lose: true}},
		{"request", 0.3, servers.Action{CutRequest: 200}},
		{"response", 0.3, servers.Action{CutResponse: 300}},
		{"slow", 0.5, servers.Action{Delay: 50 * time.Millisecond}},
	} {
		x.Answer(c.share, 1, c.what)
		if n := x.days(c.name); n < 4 {
			t.Errorf("%s: %d of 4 commands succeeded", c.name, n)
		}
		x.whole(c.name)
	}

	// Every connection ends within 6 MiB, which is a part and a bit, in either
	// direction.
	x.Pass()
	x.CutAfter(6<<20, 6<<20)
	if !x.attempt("cut", l.big) {
		t.Error("a large backup failed because connections were cut")
	}
	x.CutAfter(-1, 2<<20)
	out := filepath.Join(x.dir, "cut")
	x.brock("restore", "-l", x.through(x.Addr, "cut"), "-p", out)
	if got, want := l.digest(t, out), l.digest(t, l.big); got != want {
		t.Errorf("restored over cut connections: %s, want %s", got, want)
	}
	x.clean("cut")
	x.Pass()
	x.Answer(0.15, 3, servers.Action{Lose: true})
	if !x.attempt("lost-parts", l.big) {
		t.Error("a large backup failed because answers were lost")
	}
	x.whole("lost-parts")
}

// full is a store that has no room for the nth thing that is written, for every
// n: then there is no backup, or a whole one.
func full(t *testing.T, l *lab) {
	x := l.line(t, servers.MinIO(t))
	for _, dir := range []string{l.days[1], l.big} {
		failed := 0
		for n := 1; ; n++ {
			prefix := fmt.Sprintf("full-%s-%d", filepath.Base(dir), n)
			writes := x.noRoom(n)
			got := x.try("backup", "-l", x.through(x.Addr, prefix, "part_size=5MiB"), "-p", dir)
			keys := writes()
			if len(keys) < n {
				break
			}
			if got.code == 0 { // it was no more than an experiment, or Dgraph's manifest
				x.lists(x.location(prefix), 1)
				x.complete(x.location(prefix), prefix)
			} else {
				failed++
				if got.code != 1 || !strings.Contains(got.stderr, "XMinioStorageFull") || !strings.Contains(got.stderr, "make room") {
					t.Errorf("no room for %s: %v", keys[n-1], got)
				}
				x.lists(x.location(prefix), 0)
				if left := x.objects(prefix); len(left) > 0 {
					t.Errorf("a backup that had no room for %s leaves %v", keys[n-1], left)
				}
			}
			slices.Sort(keys)
			for _, key := range slices.Compact(keys) {
				if n := x.unfinished(key); n > 0 {
					t.Errorf("%s has %d unfinished uploads", key, n)
				}
			}
		}
		if failed < 3 {
			t.Errorf("%s: %d backups failed", dir, failed)
		}
	}
}

// noRoom lets the nth request that writes fail. The function that it returns
// says which keys were to be written.
func (x *line) noRoom(n int) (writes func() []string) {
	var mu sync.Mutex
	var keys []string
	x.Do(func(r *http.Request) servers.Action {
		if r.Method != http.MethodPut && r.Method != http.MethodPost || strings.Contains(r.URL.Path, "/.brock") {
			return servers.Action{}
		}
		mu.Lock()
		defer mu.Unlock()
		if keys = append(keys, strings.TrimPrefix(r.URL.Path, "/"+x.bucket+"/")); len(keys) == n {
			return servers.Action{Status: http.StatusInsufficientStorage, Code: "XMinioStorageFull"}
		}
		return servers.Action{}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return keys
	}
}

// outage is a server that is killed while a backup goes on, and comes back; and
// one that is away until the user has enough.
func outage(t *testing.T, l *lab) {
	own := servers.OwnMinIO(t)
	x := l.line(t, own.S3)
	away := func(prefix string, goAway func()) *running {
		r, _ := x.until("4", "backup", "-p", l.big, "-l", x.through(x.Addr, prefix, "part_size=5MiB"))
		goAway()
		x.Pass()
		return r
	}
	got := away("back", func() { own.Kill(); own.Start() }).end()
	if got.code != 0 {
		t.Errorf("the server was away for a moment: %v", got)
	}
	x.clean("back")

	r := away("gone", func() { x.Refuse(true) })
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	got = r.end()
	if took := time.Since(begin); got.code != 1 || !strings.Contains(got.stderr, "interrupt") || took > time.Minute {
		t.Errorf("interrupted while the server was away, after %v: %v", took, got)
	}
	x.lists(x.location("gone"), 0)
	if left := x.objects("gone"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	x.Refuse(false)
	if !x.attempt("gone", l.big) {
		t.Error("the next backup failed")
	}
	x.whole("gone")
}

// until starts a command and waits until it sends that part of an object, whose key
// it returns. From then on nothing passes.
func (x *line) until(part string, args ...string) (r *running, key string) {
	x.t.Helper()
	reached := make(chan struct{})
	x.Do(func(r *http.Request) servers.Action {
		switch {
		case key != "" && r.Method != http.MethodPut:
			return servers.Action{}
		case key == "" && isPart(r, part):
			key = strings.TrimPrefix(r.URL.Path, "/"+x.bucket+"/")
			close(reached)
		case key == "":
			return servers.Action{}
		}
		return servers.Action{Delay: time.Second, Drop: true}
	})
	r = x.start(args...)
	select {
	case <-reached:
	case <-r.done:
		x.t.Fatalf("it sent no part %s: %v", part, r.end())
	}
	x.BlackHole(true)
	return r, key
}
