package conformance

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// settingsStrict is for both kinds of plugin.
func settingsStrict(t *trial, l *lab) {
	p := l.shared(t)
	const unknown = "brock_no_such_setting"
	refused := func(what, name string, settings map[string]any) {
		v, err := l.open(t, p, settings)
		if err == nil {
			closeValue(t, v)
		}
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("Open with %s %q: %v, want ErrInvalid", what, name, err)
			return
		}
		if !strings.Contains(err.Error(), name) {
			t.Errorf("Open with %s %q: %v, which does not name it", what, name, err)
		}
	}
	refused("the unknown setting", unknown, l.with(unknown, "x"))
	for _, s := range p.Description().Settings {
		if s.Required && s.Env == "" && s.Default == "" {
			refused("no setting", s.Name, l.with(s.Name, nil))
		}
		switch s.Type {
		case "int", "bool", "duration", "float":
			refused("nonsense as setting", s.Name, l.with(s.Name, "brock"))
		}
	}
}

// describeStable compares what two processes say of themselves.
func describeStable(t *trial, l *lab) {
	a, b := l.shared(t).Description(), l.own(t).Description()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("two processes describe themselves differently:\n%+v\n%+v", a, b)
	}
	if a.Name == "" || a.Version == "" || a.Doc == "" {
		t.Errorf("name %q, version %q, doc %q: none of them may be empty", a.Name, a.Version, a.Doc)
	}
	if a.Kind == "destination" && len(a.Schemes) == 0 {
		t.Errorf("no scheme: no URI will ever lead to this plugin")
	}
	for _, name := range a.Env {
		if !variableName.MatchString(name) {
			t.Errorf("%q cannot be the name of an environment variable", name)
		}
	}
	for _, s := range a.Settings {
		if s.Doc == "" {
			t.Errorf("setting %q: no doc", s.Name)
		}
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// outlive reads in a second process what the first one wrote.
func outlive(t *trial, p *place) {
	data := pattern(100_000)
	first := p.lab.own(t)
	d, err := first.OpenDestination(t.ctx, p.lab.Settings)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	p.dst = d
	p.put("kept", data)
	if err := first.Close(); err != nil {
		t.Errorf("Close of the process: %v", err)
	}
	if p.dst, err = p.lab.own(t).OpenDestination(t.ctx, p.lab.Settings); err != nil {
		t.Fatalf("open in a second process: %v", err)
	}
	p.want("kept", data)
}

// separate closes one of two instances that are open in one process.
func separate(t *trial, p *place) {
	process := p.lab.own(t)
	var instances [2]sdk.Destination
	for i := range instances {
		d, err := process.OpenDestination(t.ctx, p.lab.Settings)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		instances[i] = d
	}
	p.dst = instances[0]
	p.put("shared", []byte("shared"))
	for range 2 {
		closeValue(t, instances[0])
	}
	p.dst = instances[1]
	p.want("shared", []byte("shared"))
}

// denied goes through every verb at a place that is forbidden. What is said of
// it must never be that there is nothing.
func denied(t *trial, p *place) {
	v := p.lab.Denied
	if v == nil {
		t.Skipf("the test gives no place that is forbidden: see Denied")
	}
	d, err := p.lab.own(t, v.Env...).OpenDestination(t.ctx, v.Settings)
	if err != nil {
		p.wantDenied("Open", err)
		return
	}
	r, err := d.Get(t.ctx, "absent", 0)
	if err == nil {
		r.Close()
	}
	p.wantDenied("Get", err)
	p.wantDenied("Put", d.Put(t.ctx, "new", strings.NewReader("x")))
	p.wantDenied("Delete", d.Delete(t.ctx, "absent"))
	err = nil
	for _, err = range d.List(t.ctx, "") {
		if err != nil {
			break
		}
	}
	p.wantDenied("List", err)
	if d, ok := d.(sdk.Replacer); ok {
		_, err := d.Version(t.ctx, "absent")
		p.wantDenied("Version", err)
		_, err = d.Replace(t.ctx, "absent", strings.NewReader("x"), "")
		p.wantDenied("Replace", err)
	}
	if d, ok := d.(sdk.Prober); ok {
		p.wantDenied("Probe", d.Probe(t.ctx))
	}
}

func (p *place) wantDenied(what string, err error) {
	if !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrNotExist) {
		p.Errorf("%s where it is forbidden: %v, want ErrPermission", what, err)
	}
}

// notDenied is the reverse: what is merely absent is not forbidden.
func notDenied(p *place) {
	_, err := p.dst.Get(p.ctx, p.root+"absent/object", 0)
	if !errors.Is(err, sdk.ErrNotExist) || errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrUnavailable) {
		p.Errorf("Get of what is absent: %v, want ErrNotExist alone", err)
	}
	for o, err := range p.dst.List(p.ctx, p.root+"absent/") {
		p.Errorf("List of what is absent: %v, %v, want nothing", o, err)
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	if err := p.dst.Delete(ctx, p.root+"absent/object"); err != nil {
		p.Errorf("Delete of what is absent: %v", err)
	}
}
