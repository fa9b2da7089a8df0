package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

func getOffsets(p *place) {
	data := pattern(2*frame.Size + 100)
	p.put("offset", data)
	for _, at := range []int64{0, 1, frame.Size - 1, frame.Size, frame.Size + 1, int64(len(data)) - 1, int64(len(data))} {
		if got := p.get("offset", at); !bytes.Equal(got, data[at:]) {
			p.Errorf("Get at %d: %s, want %s", at, show(got), show(data[at:]))
		}
	}
	for _, at := range []int64{int64(len(data)) + 1, 1 << 40, -1} {
		p.getNothing("offset", at, sdk.ErrInvalid)
	}
	p.put("offset-empty", nil)
	if got := p.get("offset-empty", 0); len(got) != 0 {
		p.Errorf("Get of an empty object: %s", show(got))
	}
	p.getNothing("offset-empty", 1, sdk.ErrInvalid)
}

func getMissing(p *place) {
	p.put("there/is", []byte("x"))
	for _, name := range []string{"missing", "missing/deeply", "there", "there/is/not", "there/is.not", "there/i", "here/is"} {
		for _, at := range []int64{0, 1} {
			p.getNothing(name, at, sdk.ErrNotExist)
		}
	}
}

// getNothing wants an error from Get or, at the latest, instead of the first
// byte: a plugin may find out while it reads.
func (p *place) getNothing(name string, at int64, kind error) {
	r, err := p.dst.Get(p.ctx, p.root+name, at)
	if err == nil {
		defer r.Close()
		p.Errorf("Get(%q, %d) opens something, want the kind %q", name, at, kind)
		return
	}
	if !errors.Is(err, kind) {
		p.Errorf("Get(%q, %d): %v, want the kind %q", name, at, err, kind)
	}
}

func getClosedEarly(p *place) {
	p.put("early", pattern(inFlight))
	for range 20 {
		r, err := p.dst.Get(p.ctx, p.root+"early", 0)
		if err != nil {
			p.Fatalf("Get: %v", err)
		}
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			p.Errorf("reading: %v", err)
		}
		if err := r.Close(); err != nil {
			p.Errorf("Close of a reader that is not at its end: %v", err)
		}
	}
	p.want("early", pattern(inFlight))
}

func getCancelled(p *place) {
	p.put("cancelled", pattern(inFlight))
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	r, err := p.dst.Get(ctx, p.root+"cancelled", 0)
	if err != nil {
		p.Fatalf("Get: %v", err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		p.Errorf("reading: %v", err)
	}
	cancel()
	p.within(prompt, "Get that is cancelled", func() {
		_, err := io.Copy(io.Discard, r)
		p.wantErr("reading after a cancel", err, context.Canceled)
	})
}

func deleteTwice(p *place) {
	for _, name := range []string{"gone", "deep/gone", "deep/gone.too", "deep/gone-not"} {
		p.put(name, []byte(name))
	}
	for _, name := range []string{"gone", "deep/gone", "deep/gone.too"} {
		for _, when := range []string{"first", "second"} {
			if err := p.dst.Delete(p.ctx, p.root+name); err != nil {
				p.Errorf("%s Delete(%q): %v", when, name, err)
			}
		}
		if _, err := p.dst.Get(p.ctx, p.root+name, 0); !errors.Is(err, sdk.ErrNotExist) {
			p.Errorf("Get(%q) after Delete: %v, want ErrNotExist", name, err)
		}
	}
	for _, name := range []string{"never", "never/there", "deep", "deep/gone-not/below"} {
		if err := p.dst.Delete(p.ctx, p.root+name); err != nil {
			p.Errorf("Delete(%q) of what was never there: %v", name, err)
		}
	}
	if objs := p.list(""); len(objs) != 1 {
		p.Errorf("after some Deletes, List = %v, want the object that was not deleted", objs)
	}
	p.want("deep/gone-not", []byte("deep/gone-not"))
	p.put("gone", []byte("back"))
	p.want("gone", []byte("back"))
}

func manyAtOnce(p *place) {
	racers(func(i int) {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i/26)
		data := pattern(10_000 + i)
		if err := p.dst.Put(p.ctx, p.root+"many/"+name, bytes.NewReader(data)); err != nil {
			p.Errorf("Put(%q): %v", name, err)
			return
		}
		if got := p.get("many/"+name, 0); !bytes.Equal(got, data) {
			p.Errorf("Get(%q): %s, want %s", name, show(got), show(data))
		}
		p.list("many/")
		if i%2 == 0 {
			if err := p.dst.Delete(p.ctx, p.root+"many/"+name); err != nil {
				p.Errorf("Delete(%q): %v", name, err)
			}
		}
	})
	if n := len(p.list("many/")); n != 32 {
		p.Errorf("of 64 objects, half of them deleted, List shows %d", n)
	}
}
