package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing/iotest"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

// A replacing check has a place whose destination is a Replacer.
type replacing struct {
	*place
	sdk.Replacer
}

func whereReplacer(run func(replacing)) func(*trial, *place) {
	return func(t *trial, p *place) {
		r, ok := p.dst.(sdk.Replacer)
		if !ok {
			t.Skipf("the plugin is no Replacer")
		}
		run(replacing{p, r})
	}
}

// replace replaces an object and wants that to succeed.
func (p replacing) replace(name string, data []byte, version string) string {
	v, err := p.Replace(p.ctx, p.root+name, bytes.NewReader(data), version)
	if err != nil {
		p.Fatalf("Replace(%q, version %q): %v", name, version, err)
	}
	if now := p.version(name); v == "" || v != now {
		p.Errorf("Replace(%q) returned version %q, and Version is %q", name, v, now)
	}
	p.want(name, data)
	return v
}

func (p replacing) version(name string) string {
	v, err := p.Version(p.ctx, p.root+name)
	if err != nil {
		p.Errorf("Version(%q): %v", name, err)
	}
	return v
}

// refused replaces an object and wants ErrConflict.
func (p replacing) refused(what, name, version string) {
	_, err := p.Replace(p.ctx, p.root+name, strings.NewReader("unwanted"), version)
	p.wantErr("Replace with "+what, err, sdk.ErrConflict)
}

func replaceVersions(p replacing) {
	p.refused("the version of an object that was never there", "new", "1234")
	p.absent("new", "after a Replace with a version that never was")

	first := p.replace("new", []byte("first"), "")
	p.refused("no version, though there is an object", "new", "")
	p.refused("a version that never was", "new", first+"x")
	p.want("new", []byte("first"))

	second := p.replace("new", pattern(frame.Size+1), first)
	if second == first {
		p.Errorf("two contents have the version %q", first)
	}
	p.refused("a version that is past", "new", first)
	p.want("new", pattern(frame.Size+1))
	third := p.replace("new", nil, second)
	p.replace("new", []byte("short"), third)

	p.wantErr("Put on what Replace made", p.dst.Put(p.ctx, p.root+"new", strings.NewReader("x")), sdk.ErrExist)
	p.put("put/first", []byte("by Put"))
	v := p.version("put/first")
	if v == "" {
		p.Errorf("an object that was Put has no version")
	}
	v = p.replace("put/first", []byte("by Replace"), v)
	if err := p.dst.Delete(p.ctx, p.root+"put/first"); err != nil {
		p.Errorf("Delete: %v", err)
	}
	if now := p.version("put/first"); now != "" {
		p.Errorf("an object that was deleted has the version %q", now)
	}
	p.refused("the version of an object that is deleted", "put/first", v)
	p.replace("put/first", []byte("again"), "")
}

func replaceRacers(p replacing) {
	version := ""
	for size, name := range []string{"the first", "the second", "the third"} {
		size += 10_000 // a version may be a digest: no content comes twice
		var wins atomic.Int32
		var won sync.Map
		gate := p.newGate()
		racers(func(i int) {
			v, err := p.Replace(p.ctx, p.root+"race", gate.source(bytes.Repeat([]byte{byte(i)}, size)), version)
			if err == nil {
				wins.Add(1)
				won.Store(byte(i), v)
				return
			}
			p.wantErr("a Replace that lost", err, sdk.ErrConflict)
		})
		if wins.Load() != 1 {
			p.Fatalf("in %s race, %d of 64 Replaces won, want 1", name, wins.Load())
		}
		got := p.get("race", 0)
		if len(got) != size || bytes.Count(got, got[:1]) != len(got) {
			p.Fatalf("after %s race the object has %d bytes, want %d that are all alike", name, len(got), size)
		}
		v, ok := won.Load(got[0])
		if !ok {
			p.Fatalf("after %s race the object is a loser's", name)
		}
		version, _ = v.(string)
	}
}

func replaceFailingSource(p replacing) {
	broken := errors.New("the source broke")
	old := pattern(1000)
	version := p.replace("kept", old, "")
	for _, size := range []int{0, 1, 2*frame.Size + 1} {
		for name, version := range map[string]string{"kept": version, "absent": ""} {
			r := io.MultiReader(bytes.NewReader(pattern(size)), iotest.ErrReader(broken))
			p.within(prompt, "Replace from a source that fails", func() {
				_, err := p.Replace(p.ctx, p.root+name, r, version)
				p.wantErr("Replace from a source that fails", err, broken)
			})
		}
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.within(prompt, "Replace that is cancelled", func() {
		_, err := p.Replace(ctx, p.root+"kept", readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, ctx.Err()
		}), version)
		p.wantErr("Replace that is cancelled", err, context.Canceled)
	})
	p.absent("absent", "after a Replace whose source failed")
	p.want("kept", old)
	if v := p.version("kept"); v != version {
		p.Errorf("after Replaces that failed, the version is %q, want %q as before", v, version)
	}
}

// replaceWhole reads while it replaces: a reader sees one content or the other.
func replaceWhole(p replacing) {
	version := p.replace("whole", bytes.Repeat([]byte{0}, 300_000), "")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				got := p.get("whole", 0)
				if len(got) == 0 || len(got) != 300_000+int(got[0]) || bytes.Count(got, got[:1]) != len(got) {
					p.Errorf("during a Replace, Get: %s, want one content or the other", show(got))
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := 0; i < 20 && !p.failed(); i++ {
		v, err := p.Replace(p.ctx, p.root+"whole", bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 300_001+i)), version)
		if err != nil {
			p.Errorf("Replace: %v", err)
			break
		}
		version = v
	}
	close(done)
	wg.Wait()
}

func probeLeavesNothing(t *trial, p *place) {
	d, ok := p.dst.(sdk.Prober)
	if !ok {
		t.Skipf("the plugin is no Prober")
	}
	p.unchanged("Probe", func() {
		for range 2 {
			if err := d.Probe(p.ctx); err != nil {
				p.Errorf("Probe: %v", err)
			}
		}
	})
}

// unchanged fails the check if what is stored is not the same afterwards.
func (p *place) unchanged(what string, do func()) {
	all := func() string {
		var b strings.Builder
		for o, err := range p.dst.List(p.ctx, "") {
			if err != nil {
				p.Fatalf("List: %v", err)
			}
			fmt.Fprintln(&b, o.Name, o.Size)
		}
		return b.String()
	}
	before := all()
	do()
	if after := all(); after != before {
		p.Errorf("%s left something behind, or took something away:\n%s", what, after)
	}
}
