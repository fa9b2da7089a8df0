package conformance

import (
	"bytes"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// putUnknownFields speaks as a host of a later version does.
func putUnknownFields(p *place) {
	w := p.greased()
	data, name := pattern(frame.Size+10), p.root+"greased"
	steps := w.steps(name, data)
	for _, s := range steps {
		grease(s)
	}
	if _, err := w.put(steps...); err != nil {
		p.Fatalf("Put with fields that nobody knows: %v", err)
	}
	p.want("greased", data)
	get, err := w.dst.Get(w.ctx, grease(&pluginpb.GetRequest{Instance: w.instance, Name: name}))
	if err == nil {
		_, err = get.Recv()
	}
	p.ignored("Get", err)
	list, err := w.dst.List(w.ctx, grease(&pluginpb.ListRequest{Instance: w.instance, Prefix: name}))
	if err == nil {
		_, err = list.Recv()
	}
	p.ignored("List", err)
	if _, ok := p.dst.(sdk.Replacer); ok {
		_, err := w.dst.Version(w.ctx, grease(&pluginpb.VersionRequest{Instance: w.instance, Name: name}))
		p.ignored("Version", err)
	}
	_, err = w.dst.Delete(w.ctx, grease(&pluginpb.DeleteRequest{Instance: w.instance, Name: name}))
	p.ignored("Delete", err)
	p.absent("greased", "after Delete with fields that nobody knows")
}

func (p *place) greased() *wire { return greased(p.trial, p.lab) }

// greased opens an instance with fields that nobody knows.
func greased(t *trial, l *lab) *wire {
	w := tap(t, l.shared(t))
	res, err := w.meta.Describe(w.ctx, grease(&pluginpb.DescribeRequest{}))
	t.ignored("Describe", err)
	plain, err := w.meta.Describe(w.ctx, &pluginpb.DescribeRequest{})
	if err != nil || !proto.Equal(res, plain) {
		t.Errorf("Describe with fields that nobody knows gives another answer, %v", err)
	}
	if err := w.open(l.Settings); err != nil {
		t.Fatalf("open: %v", err)
	}
	_, err = w.meta.Close(w.ctx, grease(&pluginpb.CloseRequest{Instance: w.instance}))
	t.ignored("Close", err)
	if err := w.open(l.Settings); err != nil {
		t.Fatalf("open under an id that was closed: %v", err)
	}
	return w
}

func (t *trial) ignored(what string, err error) {
	if err != nil {
		t.Errorf("%s with fields that nobody knows: %v, want them ignored", what, err)
	}
}

func wrapUnknownFields(k *keyring) {
	w := greased(k.trial, k.lab)
	res, err := w.keys.Wrap(w.ctx, grease(&pluginpb.WrapRequest{Instance: w.instance, DataKey: pattern(32)}))
	k.ignored("Wrap", err)
	back, err := w.keys.Unwrap(w.ctx, grease(&pluginpb.UnwrapRequest{
		Instance: w.instance, KeyId: res.GetKeyId(), Ciphertext: res.GetCiphertext(),
	}))
	k.ignored("Unwrap", err)
	if !bytes.Equal(back.GetDataKey(), pattern(32)) {
		k.Errorf("Unwrap with fields that nobody knows gives another key")
	}
}

// unknownInstance asks for what was never opened.
func unknownInstance(t *trial, l *lab) {
	w := tap(t, l.shared(t))
	refused := func(what string, err error) {
		err = code.Error(err)
		if err == nil || errors.Is(err, sdk.ErrNotExist) || errors.Is(err, sdk.ErrExist) {
			t.Errorf("%s in an instance that is not open: %v, want a refusal that does not speak of objects", what, err)
		}
	}
	if l.shared(t).Description().Kind == "keyprovider" {
		_, err := w.keys.Wrap(w.ctx, &pluginpb.WrapRequest{Instance: w.instance, DataKey: pattern(32)})
		refused("Wrap", err)
		_, err = w.keys.Unwrap(w.ctx, &pluginpb.UnwrapRequest{Instance: w.instance, KeyId: "x", Ciphertext: []byte("x")})
		refused("Unwrap", err)
	} else {
		_, err := w.put(w.steps("nowhere/object", []byte("x"))...)
		refused("Put", err)
		_, err = w.get("nowhere/object", 0)
		refused("Get", err)
		_, err = w.list("nowhere/")
		refused("List", err)
		_, err = w.dst.Delete(w.ctx, &pluginpb.DeleteRequest{Instance: w.instance, Name: "nowhere/object"})
		refused("Delete", err)
	}
	if _, err := w.meta.Close(w.ctx, &pluginpb.CloseRequest{Instance: w.instance}); err != nil {
		t.Errorf("Close of an instance that is not open: %v, want success", err)
	}
}

// instanceOnce opens a second instance under an id that is taken.
func instanceOnce(t *trial, l *lab) {
	w := tap(t, l.shared(t))
	if err := w.open(l.Settings); err != nil {
		t.Fatalf("open: %v", err)
	}
	if err := w.open(l.Settings); err == nil {
		t.Errorf("a second Open under the same id succeeds: it has replaced the first")
	}
	if err := w.use(l); err != nil {
		t.Errorf("after a second Open was refused, the first instance fails: %v", err)
	}
	if _, err := w.meta.Close(w.ctx, &pluginpb.CloseRequest{Instance: w.instance}); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := w.use(l); err == nil {
		t.Errorf("an instance that was closed still answers")
	}
	if err := w.open(l.Settings); err != nil {
		t.Errorf("Open under an id that was closed: %v, want it to be free again", err)
	}
}

// use is any call that needs an instance.
func (w *wire) use(l *lab) error {
	if l.shared(w.trial).Description().Kind == "keyprovider" {
		_, err := w.keys.Wrap(w.ctx, &pluginpb.WrapRequest{Instance: w.instance, DataKey: pattern(32)})
		return code.Error(err)
	}
	_, err := w.list("kit-use/")
	return err
}

// oversize sends a message of 3 MiB, of which only the plugin's side says that
// it is too large.
func oversize(t *trial, l *lab) {
	p := l.own(t)
	w := tap(t, p)
	if err := w.open(l.Settings); err != nil {
		t.Fatalf("open: %v", err)
	}
	large := bytes.Repeat([]byte("x"), 3<<20)
	refused := func(what string, err error) {
		if err == nil {
			t.Errorf("%s with a message of 3 MiB succeeds, want it refused", what)
		}
	}
	if p.Description().Kind == "keyprovider" {
		_, err := w.keys.Wrap(w.ctx, &pluginpb.WrapRequest{Instance: w.instance, DataKey: large}, grpc.MaxCallSendMsgSize(16<<20))
		refused("Wrap", err)
	} else {
		name := newRoot() + "/oversize"
		_, err := w.put(stepOpen(w.putOpen(name)), stepFrame(0, large), stepCommit(large))
		refused("Put", err)
		if names, err := w.list(name); len(names) > 0 || err != nil {
			t.Errorf("after a Put with a message of 3 MiB, List = %q, %v; want nothing", names, err)
		}
	}
	if err := w.use(l); err != nil {
		t.Errorf("after a message of 3 MiB, the plugin fails: %v", err)
	}
}

// namesRefusedByPlugin sends what no host of ours would.
func namesRefusedByPlugin(p *place) {
	w := p.wire()
	refused := func(what, name string, err error) {
		if !errors.Is(code.Error(err), sdk.ErrInvalid) {
			p.Errorf("%s(%.60q): %v, want the kind %q", what, name, err, sdk.ErrInvalid)
		}
	}
	for _, name := range []string{
		"", ".", "..", "/", "/etc/passwd", "../" + p.root, "a/../../" + p.root, "a/..", "a/./b", "./a", "a//b", "a/",
		"nul\x00byte", strings.Repeat("../", 20) + "tmp/" + p.root + "out",
	} {
		_, err := w.put(w.steps(name, []byte("x"))...)
		refused("Put", name, err)
		_, err = w.get(name, 0)
		refused("Get", name, err)
		_, err = w.dst.Delete(w.ctx, &pluginpb.DeleteRequest{Instance: w.instance, Name: name})
		refused("Delete", name, err)
		if _, ok := p.dst.(sdk.Replacer); ok {
			_, err = w.dst.Version(w.ctx, &pluginpb.VersionRequest{Instance: w.instance, Name: name})
			refused("Version", name, err)
		}
	}
	for _, prefix := range []string{"../", "a/../", "/", "/etc/"} {
		if names, err := w.list(prefix); err == nil {
			p.Errorf("List(%q) = %q, want an error", prefix, names)
		}
	}
}

// errorsSayTheirKind compares what a failure says twice.
func errorsSayTheirKind(p *place) {
	w := p.wire()
	p.put("taken", []byte("x"))
	_, exist := w.put(w.steps(p.root+"taken", []byte("y"))...)
	_, absent := w.get(p.root+"absent", 0)
	_, beyond := w.get(p.root+"taken", 100)
	details := 0
	for what, e := range map[string]struct {
		err, kind error
		code      codes.Code
	}{
		"Put at a name that is taken": {exist, sdk.ErrExist, codes.AlreadyExists},
		"Get of what is absent":       {absent, sdk.ErrNotExist, codes.NotFound},
		"Get beyond the end":          {beyond, sdk.ErrInvalid, codes.InvalidArgument},
	} {
		p.wantErr(what, e.err, e.kind)
		var remote *code.Remote
		if !errors.As(e.err, &remote) {
			continue
		}
		if remote.Reported {
			details++
		}
		if strings.TrimSpace(remote.Text) == "" {
			p.Errorf("%s: the error has no text", what)
		}
		if remote.Code != e.code {
			p.Errorf("%s: the code is %v, want %v", what, remote.Code, e.code)
		}
	}
	if details == 0 && !p.failed() {
		p.Skipf("no error has a detail: the code alone says its kind, and there are no hints")
	}
}
