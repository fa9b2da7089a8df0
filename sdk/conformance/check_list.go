package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

func listOrder(p *place) {
	all := []string{"a!b", "a-b", "a.b", "a/1", "a/2/x", "a/2.x", "a/10", "ab", "aé", "b", "B", "日本"}
	for _, name := range all {
		p.put("ls/"+name, []byte(name))
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/2", "a/2/", "a.", "ab", "aé", "b", "B", "x", "a/1/", "日", "日本"} {
		var want []string
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, "ls/"+name)
			}
		}
		var got []string
		for _, o := range p.list("ls/" + prefix) {
			got = append(got, o.Name)
			if o.Size != int64(len(o.Name)-len("ls/")) {
				p.Errorf("List(%q): %s has %d bytes, want %d", prefix, o.Name, o.Size, len(o.Name)-len("ls/"))
			}
		}
		if !slices.Equal(got, want) {
			p.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
}

// listMany has more names than a page of any storage service.
func listMany(p *place) {
	const count = 1100
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range count {
			next <- i
		}
	}()
	racers(func(int) {
		for i := range next {
			name := fmt.Sprintf("many/%d/%04d", i%3, i)
			if err := p.dst.Put(p.ctx, p.root+name, bytes.NewReader([]byte(name))); err != nil {
				p.Errorf("Put(%q): %v", name, err)
			}
		}
	})
	objs := p.list("many/")
	if len(objs) != count {
		p.Errorf("List shows %d of %d objects", len(objs), count)
	}
	if !slices.IsSortedFunc(objs, func(a, b sdk.Object) int { return strings.Compare(a.Name, b.Name) }) {
		p.Errorf("List of %d objects is not in the order of names", count)
	}
	seen := 0
	for _, err := range p.dst.List(p.ctx, p.root+"many/") {
		if err != nil {
			p.Errorf("List: %v", err)
		}
		if seen++; seen == 5 {
			break
		}
	}
	ctx, cancel := context.WithCancel(p.ctx)
	cancel()
	p.within(prompt, "List with a context that has ended", func() {
		var last error
		for _, err := range p.dst.List(ctx, p.root+"many/") {
			last = err
		}
		p.wantErr("List with a context that has ended", last, context.Canceled)
	})
}

func namesClean(p *place) {
	names := []string{
		"with space", " leading and trailing ", "per%cent", "per%2Fcent", "plus+plus", "q?a=b&c#d", "semi;colon:comma,",
		"'quotes\"", "back\\slash", "back\\..\\slash", "(brackets)[x]{y}<z>", "star*", "tilde~", "pipe|", "$HOME", "`x`", "^", "=", "@", "!",
		".hidden", "-dash", "--", "...", "trailing.", "a.b", "a/1", "ümlaut", "日本語", "🦡", "e\u0301", "line\nbreak", "tab\tstop", "\x01\x7f",
		"manifest.json", "_", "UPPER", strings.Repeat("n", 200), strings.Repeat("deep/", 20) + "er",
		"dgraph.20250101.000000.000/r1-g1.backup",
	}
	for _, name := range names {
		if err := p.dst.Put(p.ctx, p.root+"n/"+name, strings.NewReader(name)); err != nil {
			p.Errorf("Put(%q): %v", name, err)
		}
	}
	for _, name := range names {
		if got := p.get("n/"+name, 0); string(got) != name {
			p.Errorf("Get(%q) = %s", name, show(got))
		}
	}
	slices.Sort(names)
	var got []string
	for _, o := range p.list("n/") {
		got = append(got, strings.TrimPrefix(o.Name, "n/"))
	}
	if !slices.Equal(got, names) {
		p.Errorf("List shows other names than were stored:\n got %q\nwant %q", got, names)
	}
	for _, name := range names {
		if err := p.dst.Delete(p.ctx, p.root+"n/"+name); err != nil {
			p.Errorf("Delete(%q): %v", name, err)
		}
	}
	if objs := p.list("n/"); len(objs) > 0 {
		p.Errorf("after all Deletes, List = %v", objs)
	}
}

// namesRefused goes to the destination itself when it is in this process. In
// another one it is behind the SDK, which refuses such names too.
func namesRefused(p *place) {
	for _, name := range []string{
		"", ".", "..", "/", "/etc/passwd", "../out", "a/../../out", "a/..", "a/./b", "./a", "a//b", "a/", "nul\x00byte", "..\x00",
		strings.Repeat("../", 20) + "tmp/out",
	} {
		p.wantErr(fmt.Sprintf("Put(%q)", name), p.dst.Put(p.ctx, name, strings.NewReader("x")), sdk.ErrInvalid)
		r, err := p.dst.Get(p.ctx, name, 0)
		if err == nil {
			r.Close()
		}
		p.wantErr(fmt.Sprintf("Get(%q)", name), err, sdk.ErrInvalid)
		p.wantErr(fmt.Sprintf("Delete(%q)", name), p.dst.Delete(p.ctx, name), sdk.ErrInvalid)
		if d, ok := p.dst.(sdk.Replacer); ok {
			_, err := d.Replace(p.ctx, name, strings.NewReader("x"), "")
			p.wantErr(fmt.Sprintf("Replace(%q)", name), err, sdk.ErrInvalid)
		}
	}
	for _, prefix := range []string{"../", "a/../", "/", "/etc/"} {
		for o, err := range p.dst.List(p.ctx, prefix) {
			if err == nil {
				p.Errorf("List(%q) shows %v", prefix, o)
			}
			break
		}
	}
}
