package conformance

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// open opens a variant of the subject, in a process of its own.
func (p *place) open(v *Variant) (sdk.Destination, error) {
	return p.lab.own(p.trial, v.Env...).OpenDestination(p.ctx, v.Settings)
}

// missing goes to a place that is not there.
func missing(t *trial, p *place) {
	if p.lab.Missing == nil {
		t.Skipf("the test gives no place that is missing: see Missing")
	}
	said := func(what string, err error) {
		if err == nil || errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("%s where the place itself is missing: %v, want an error that says so", what, err)
		}
	}
	d, err := p.open(p.lab.Missing)
	if err != nil {
		said("Open", err)
		return
	}
	said("List", listError(p, d))
	_, err = d.Get(t.ctx, p.root+"object", 0)
	said("Get", err)
}

// listError returns with which error, if any, a list ends.
func listError(p *place, d sdk.Destination) error {
	for _, err := range d.List(p.ctx, "") {
		if err != nil {
			return err
		}
	}
	return nil
}

// readOnly goes to a place that can be read, and not written.
func readOnly(t *trial, p *place) {
	if p.lab.ReadOnly == nil {
		t.Skipf("the test gives no place that is read-only: see ReadOnly")
	}
	d, err := p.open(p.lab.ReadOnly)
	if err != nil {
		t.Fatalf("open where it is read-only: %v, want success", err)
	}
	name := newRoot() + "/object"
	p.wantDenied("Put", d.Put(t.ctx, name, strings.NewReader("x")))
	if err := listError(p, d); err != nil {
		t.Errorf("List where it is read-only: %v", err)
	}
	_, err = d.Get(t.ctx, name, 0)
	t.wantErr("Get of what is absent where it is read-only", err, sdk.ErrNotExist)
	if d, ok := d.(sdk.Replacer); ok {
		_, err := d.Replace(t.ctx, name, strings.NewReader("x"), "")
		p.wantDenied("Replace", err)
	}
	if d, ok := d.(sdk.Prober); ok {
		p.wantDenied("Probe", d.Probe(t.ctx))
	}
}

// full stores more than there is room for.
func full(t *trial, p *place) {
	if p.lab.Full == nil {
		t.Skipf("the test gives no place that is nearly full: see Full")
	}
	d, err := p.open(p.lab.Full)
	if err != nil {
		t.Fatalf("open where it is full: %v", err)
	}
	p.dst = d
	at := &place{trial: t, dst: d, home: d, root: p.root}
	t.Cleanup(at.clear)
	p.put("before", []byte("x"))
	size := 32 << 20
	if limit := p.lab.shared(t).Description().Limits.ObjectSize; limit > 0 && limit < int64(size) {
		size = int(limit)
	}
	err = d.Put(t.ctx, p.root+"large", endless(size, func() error { return io.EOF }))
	if !errors.Is(err, sdk.ErrNoSpace) || errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("Put where it is full: %v, want the kind %q alone", err, sdk.ErrNoSpace)
	}
	p.absent("large", "after a Put where it is full")
	p.want("before", []byte("x"))
	p.put("after", []byte("y"))
	p.want("after", []byte("y"))
}

// throttled asks a service that wants to be left alone for a while.
func throttled(t *trial, p *place) {
	if p.lab.Throttled == nil {
		t.Skipf("the test gives no place that turns requests away: see Throttled")
	}
	said := func(what string, err error) {
		if !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrNotExist) || errors.Is(err, sdk.ErrPermission) {
			t.Errorf("%s where requests are turned away: %v, want the kind %q", what, err, sdk.ErrUnavailable)
		}
	}
	d, err := p.open(p.lab.Throttled)
	if err != nil {
		said("Open", err)
		return
	}
	said("List", listError(p, d))
	said("Put", d.Put(t.ctx, p.root+"object", strings.NewReader("x")))
	_, err = d.Get(t.ctx, p.root+"object", 0)
	said("Get", err)
}

// listDuringChange lists while other objects come and go.
func listDuringChange(p *place) {
	const stays = 60
	for i := range stays {
		p.put(fmt.Sprintf("busy/%d/%02d", i%3, i), []byte("stays"))
	}
	done := make(chan struct{})
	changing := make(chan struct{})
	for worker := range 2 {
		go func() {
			defer func() { changing <- struct{}{} }()
			for i := 0; ; i++ {
				name := fmt.Sprintf("%sbusy/%d/%02d-comes-%d", p.root, i%4, i%stays, worker)
				err := p.dst.Put(p.ctx, name, strings.NewReader("comes"))
				if err == nil {
					err = p.dst.Delete(p.ctx, name)
				}
				if err != nil {
					p.Errorf("Put and Delete during a List: %v", err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		}()
	}
	for i := 0; i < 15 && !p.failed(); i++ {
		stayed, before := 0, ""
		for _, o := range p.list("busy/") {
			if o.Name <= before {
				p.Errorf("during a change, List shows %q after %q", o.Name, before)
			}
			if before = o.Name; !strings.Contains(o.Name, "-comes-") {
				stayed++
			}
		}
		if stayed != stays {
			p.Errorf("during a change, List shows %d of the %d objects that were there all the time", stayed, stays)
		}
	}
	close(done)
	<-changing
	<-changing
}
