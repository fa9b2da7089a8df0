package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/brock-backup/brock/sdk"
)

const (
	leakWarmUp     = 160
	leakOperations = 1000
	leakWorkers    = 8
)

// putLeaks looks at what the process holds before and after many operations,
// some of which fail.
func putLeaks(t *trial, p *place) {
	t.needProc()
	process := p.lab.own(t)
	d, err := process.OpenDestination(t.ctx, p.lab.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	p.dst = d
	data := pattern(2000)
	broken := errors.New("the source broke")
	t.leaks(process.Pid(), func(i int) {
		name := p.root + fmt.Sprintf("leak/%d", i)
		if err := d.Put(t.ctx, name, bytes.NewReader(data)); err != nil {
			t.Errorf("Put: %v", err)
			return
		}
		r, err := d.Get(t.ctx, name, 0)
		if err != nil {
			t.Errorf("Get: %v", err)
			return
		}
		if i%2 == 0 { // half of them are closed before their end
			_, err = io.Copy(io.Discard, r)
		} else {
			_, err = r.Read(make([]byte, 10))
		}
		r.Close()
		if err != nil {
			t.Errorf("reading: %v", err)
		}
		if err := d.Delete(t.ctx, name); err != nil {
			t.Errorf("Delete: %v", err)
		}
		switch i % 3 {
		case 0:
			err = d.Put(t.ctx, name, endless(100, func() error { return broken }))
			t.wantErr("Put from a source that fails", err, broken)
		case 1:
			_, err = d.Get(t.ctx, name, 0)
			t.wantErr("Get of what was deleted", err, sdk.ErrNotExist)
		default:
			for _, err := range d.List(t.ctx, name) {
				t.Errorf("List of what was deleted: %v", err)
			}
		}
	})
}

func wrapLeaks(k *keyring) {
	k.needProc()
	process := k.lab.own(k.trial)
	keys, err := process.OpenKeyProvider(k.ctx, k.lab.Settings)
	if err != nil {
		k.Fatalf("open: %v", err)
	}
	k.leaks(process.Pid(), func(i int) {
		w, err := keys.Wrap(k.ctx, pattern(32))
		if err != nil {
			k.Errorf("Wrap: %v", err)
			return
		}
		k.unwrapTo(keys, w, pattern(32))
		if _, err := keys.Unwrap(k.ctx, sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: w.Ciphertext[1:]}); err == nil {
			k.Errorf("Unwrap of a part: no error")
		}
		if v, err := process.OpenKeyProvider(k.ctx, k.lab.Settings); err != nil {
			k.Errorf("open: %v", err)
		} else {
			closeValue(k.trial, v)
		}
	})
}

// leaks has f make four operations, often enough.
func (t *trial) leaks(pid int, f func(i int)) {
	t.inTurns(leakWarmUp/4, f)
	before := usageOf(pid)
	t.inTurns(leakOperations/4, f)
	if t.failed() {
		return
	}
	var after usage
	eventually(lifeTime, func() bool { after = usageOf(pid); return len(before.leaked(after)) == 0 })
	for _, what := range before.leaked(after) {
		t.Errorf("after %d operations, the plugin has %s", leakOperations, what)
	}
}

// leaked says what is too much. A runtime is free to have some more threads, and
// to keep some memory.
func (u usage) leaked(after usage) (what []string) {
	if after.files > u.files+leakWorkers {
		what = append(what, fmt.Sprintf("%d files open, and had %d before", after.files, u.files))
	}
	if after.threads > u.threads+64 {
		what = append(what, fmt.Sprintf("%d threads, and had %d before", after.threads, u.threads))
	}
	if after.memory > u.memory+96<<20 {
		what = append(what, fmt.Sprintf("%d MiB in memory, and had %d before", after.memory>>20, u.memory>>20))
	}
	return what
}

// inTurns has a few workers call f, n times in all, until something fails.
func (t *trial) inTurns(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range leakWorkers {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		if t.failed() || t.ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
}
