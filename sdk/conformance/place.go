package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// A place is where one check may store things: below a prefix of its own, so
// that no check sees what another does.
type place struct {
	*trial
	dst  sdk.Destination
	home sdk.Destination // the one that the check was given, which stays open
	root string
	lab  *lab // nil if the destination is in this process
}

func newRoot() string { return "kit-" + strings.ToLower(rand.Text()) }

func newPlace(t *trial, d sdk.Destination, root string, l *lab) *place {
	p := &place{trial: t, dst: d, home: d, root: root + "/" + strings.ToLower(rand.Text()[:6]) + "/", lab: l}
	t.Cleanup(p.clear)
	return p
}

// clear removes what the check has left, as far as it can: whether the plugin
// can delete is another check's business. It asks home: a destination that
// the check has opened itself is closed by now.
func (p *place) clear() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 20*time.Second)
	defer cancel()
	var names []string
	for obj, err := range p.home.List(ctx, p.root) {
		if err != nil {
			break
		}
		names = append(names, obj.Name)
	}
	todo := make(chan string)
	go func() {
		defer close(todo)
		for _, name := range names {
			todo <- name
		}
	}()
	racers(func(int) {
		for name := range todo {
			_ = p.home.Delete(ctx, name)
		}
	})
}

func (p *place) put(name string, data []byte) {
	if err := p.dst.Put(p.ctx, p.root+name, bytes.NewReader(data)); err != nil {
		p.Fatalf("Put(%q): %v", name, err)
	}
}

func (p *place) get(name string, offset int64) []byte {
	r, err := p.dst.Get(p.ctx, p.root+name, offset)
	if err != nil {
		p.Errorf("Get(%q, %d): %v", name, offset, err)
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		p.Errorf("Get(%q, %d): reading: %v", name, offset, err)
	}
	return data
}

// want fails the check unless the object is there and has that content.
func (p *place) want(name string, data []byte) {
	if got := p.get(name, 0); !bytes.Equal(got, data) {
		p.Errorf("Get(%q): %s, want %s", name, show(got), show(data))
	}
	objs := p.list(name)
	if len(objs) == 0 || objs[0].Name != name || objs[0].Size != int64(len(data)) {
		p.Errorf("List(%q) = %v, want first an object of that name with %d bytes", name, objs, len(data))
	}
}

// list returns what is below the place's prefix, without it.
func (p *place) list(prefix string) []sdk.Object {
	objs := []sdk.Object{}
	for o, err := range p.dst.List(p.ctx, p.root+prefix) {
		if err != nil {
			p.Errorf("List(%q): %v", prefix, err)
			return objs
		}
		o.Name = strings.TrimPrefix(o.Name, p.root)
		objs = append(objs, o)
	}
	return objs
}

// absent fails the check if there is anything to be seen of an object.
func (p *place) absent(name, when string) {
	if objs := p.list(name); len(objs) > 0 {
		p.Errorf("%s, List(%q) = %v, want nothing", when, name, objs)
	}
	r, err := p.dst.Get(p.ctx, p.root+name, 0)
	if !errors.Is(err, sdk.ErrNotExist) {
		p.Errorf("%s, Get(%q): %v, want ErrNotExist", when, name, err)
	}
	if err == nil {
		r.Close()
	}
	if d, ok := p.dst.(sdk.Replacer); ok {
		if v, err := d.Version(p.ctx, p.root+name); v != "" || err != nil {
			p.Errorf("%s, Version(%q) = %q, %v, want none", when, name, v, err)
		}
	}
}

// wantErr fails the check unless err is of that kind.
func (t *trial) wantErr(what string, err, kind error) {
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, want the kind %q", what, err, kind)
	}
}

// pattern returns bytes of which no two parts are alike.
func pattern(size int) []byte {
	data := make([]byte, size)
	r := mathrand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	_, _ = r.Read(data)
	return data
}

func show(data []byte) string {
	if len(data) <= 32 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes that begin with %q and end with %q", len(data), data[:8], data[len(data)-8:])
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
