//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/conformance"
)

// A mutant is the good destination with one thing broken. The kit must find it,
// with the check that is for it.
type mutant struct {
	check  string
	of     func(*destination) sdk.Destination
	direct bool // the SDK would hide it, so it is checked in this process
}

// broken has the methods of the good destination, except for those that are
// set.
type broken struct {
	*destination
	put     func(context.Context, string, io.Reader) error
	get     func(context.Context, string, int64) (io.ReadCloser, error)
	list    func(context.Context, string) iter.Seq2[sdk.Object, error]
	del     func(context.Context, string) error
	replace func(context.Context, string, io.Reader, string) (string, error)
	probe   func(context.Context) error
}

func (b *broken) Put(ctx context.Context, name string, r io.Reader) error {
	if b.put != nil {
		return b.put(ctx, name, r)
	}
	return b.destination.Put(ctx, name, r)
}

func (b *broken) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if b.get != nil {
		return b.get(ctx, name, offset)
	}
	return b.destination.Get(ctx, name, offset)
}

func (b *broken) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	if b.list != nil {
		return b.list(ctx, prefix)
	}
	return b.destination.List(ctx, prefix)
}

func (b *broken) Delete(ctx context.Context, name string) error {
	if b.del != nil {
		return b.del(ctx, name)
	}
	return b.destination.Delete(ctx, name)
}

func (b *broken) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if b.replace != nil {
		return b.replace(ctx, name, r, version)
	}
	return b.destination.Replace(ctx, name, r, version)
}

func (b *broken) Probe(ctx context.Context) error {
	if b.probe != nil {
		return b.probe(ctx)
	}
	return b.destination.Probe(ctx)
}

// put breaks Put alone.
func put(f func(d *destination, ctx context.Context, name string, r io.Reader) error) func(*destination) sdk.Destination {
	return func(d *destination) sdk.Destination {
		return &broken{destination: d, put: func(ctx context.Context, name string, r io.Reader) error { return f(d, ctx, name, r) }}
	}
}

// list breaks List alone: it is given the objects as they should be.
func list(f func(objs []sdk.Object, err error, yield func(sdk.Object, error) bool)) func(*destination) sdk.Destination {
	return func(d *destination) sdk.Destination {
		return &broken{destination: d, list: func(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
			return func(yield func(sdk.Object, error) bool) {
				var objs []sdk.Object
				for o, err := range d.List(ctx, prefix) {
					if err != nil {
						f(objs, err, yield)
						return
					}
					objs = append(objs, o)
				}
				f(objs, nil, yield)
			}
		}}
	}
}

var met sync.Map // channel that the second writer of a name closes, by name

// meet lets the first writer of a name wait for the second one, which need not
// come.
func meet(name string) {
	second := make(chan struct{})
	if first, loaded := met.LoadOrStore(name, second); loaded {
		if met.CompareAndDelete(name, first) {
			close(first.(chan struct{}))
		}
		return
	}
	select {
	case <-second:
	case <-time.After(time.Second):
		met.CompareAndDelete(name, second)
	}
}

var mutants = map[string]mutant{
	"put overwrites": {check: "put never overwrites", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		u, err := d.upload(ctx, name, r)
		if err != nil {
			return err
		}
		defer u.close()
		return u.dir.Rename(u.tmp, u.base)
	})},
	"put looks before it renames": {check: "one of 64 puts wins", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		u, err := d.upload(ctx, name, r)
		if err != nil {
			return err
		}
		defer u.close()
		if err := d.vacant(name); err != nil {
			return err
		}
		meet(name)
		return u.dir.Rename(u.tmp, u.base)
	})},
	"put says nothing of what is taken": {check: "put never overwrites", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		if err := d.Put(ctx, name, r); !errors.Is(err, fs.ErrExist) {
			return err
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})},
	"put is visible while it writes": {check: "invisible until complete", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		dir, base, err := d.makeDir(name)
		if err != nil {
			return err
		}
		defer dir.Close()
		f, err := dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return kind(name, err)
		}
		defer f.Close()
		if _, err := io.Copy(f, r); err != nil {
			_ = dir.Remove(base)
			return err
		}
		return nil
	})},
	"put keeps what a broken source gave": {check: "failing source leaves nothing", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		data, failure := io.ReadAll(r)
		if err := d.Put(context.WithoutCancel(ctx), name, bytes.NewReader(data)); err != nil {
			return err
		}
		return failure
	})},
	"put keeps what a cancelled source gave": {check: "cancelled put leaves nothing", direct: true, of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		data, failure := io.ReadAll(r)
		if failure != nil && !errors.Is(failure, context.Canceled) {
			return failure
		}
		if err := d.Put(context.WithoutCancel(ctx), name, bytes.NewReader(data)); err != nil {
			return err
		}
		return failure
	})},
	"put hangs when its source breaks": {check: "failing source leaves nothing", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		err := d.Put(ctx, name, r)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			<-time.After(30 * time.Second)
		}
		return err
	})},
	"put does not hear a cancel": {check: "cancelled put leaves nothing", direct: true, of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		err := d.Put(ctx, name, r)
		if errors.Is(err, context.Canceled) {
			<-time.After(6 * time.Second)
		}
		return err
	})},
	"put answers before it stores": {check: "put and get every size", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := d.vacant(name); err != nil {
			return err
		}
		go func() {
			<-time.After(200 * time.Millisecond)
			_ = d.Put(context.WithoutCancel(ctx), name, bytes.NewReader(data))
		}()
		return nil
	})},
	"put loses the last byte": {check: "put and get every size", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return d.Put(ctx, name, bytes.NewReader(data[:max(0, len(data)-1)]))
	})},
	"put loses what comes with EOF": {check: "put from any reader", direct: true, of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		var data []byte
		buf := make([]byte, 512)
		for {
			n, err := r.Read(buf)
			if err == io.EOF { // and n may be more than 0
				return d.Put(ctx, name, bytes.NewReader(data))
			}
			if err != nil {
				return err
			}
			data = append(data, buf[:n]...)
		}
	})},
	"put shows its temporary name": {check: "invisible until complete", of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		tmp := name + ".tmp"
		if err := d.vacant(name); err != nil {
			return err
		}
		dir, base, err := d.makeDir(tmp)
		if err != nil {
			return err
		}
		defer dir.Close()
		f, err := dir.OpenFile(base, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return kind(name, err)
		}
		defer f.Close()
		defer dir.Remove(base)
		if _, err := io.Copy(f, r); err != nil {
			return err
		}
		return kind(name, dir.Link(base, strings.TrimSuffix(base, ".tmp")))
	})},
	"put follows names that lead elsewhere": {check: "names that lead elsewhere", direct: true, of: put(func(d *destination, ctx context.Context, name string, r io.Reader) error {
		if checkName(name) == nil {
			return d.Put(ctx, name, r)
		}
		path := filepath.Join(d.path, "inside", strings.ReplaceAll(filepath.Clean("/"+name), "\x00", ""))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, nil, 0o600)
	})},
	"get ignores the offset": {check: "get from an offset", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, get: func(ctx context.Context, name string, _ int64) (io.ReadCloser, error) { return d.Get(ctx, name, 0) }}
	}},
	"get beyond the end is empty": {check: "get from an offset", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, get: func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
			r, err := d.Get(ctx, name, offset)
			if errors.Is(err, sdk.ErrInvalid) {
				return io.NopCloser(strings.NewReader("")), nil
			}
			return r, err
		}}
	}},
	"get stops short": {check: "put and get every size", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, get: func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
			r, err := d.Get(ctx, name, offset)
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(r, 1<<20), r}, nil
		}}
	}},
	"absent is said to be forbidden": {check: "absent is not forbidden", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, get: func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
			r, err := d.Get(ctx, name, offset)
			if errors.Is(err, sdk.ErrNotExist) {
				err = fmt.Errorf("%s: %w", name, sdk.ErrPermission)
			}
			return r, err
		}}
	}},
	"forbidden is said to be absent": {check: "forbidden is not absent", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, get: func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
			r, err := d.Get(ctx, name, offset)
			if errors.Is(err, sdk.ErrPermission) {
				err = fmt.Errorf("%s: %w", name, sdk.ErrNotExist)
			}
			return r, err
		}}
	}},
	"list is short where it fails": {check: "forbidden is not absent", of: list(func(objs []sdk.Object, _ error, yield func(sdk.Object, error) bool) {
		for _, o := range objs {
			if !yield(o, nil) {
				return
			}
		}
	})},
	"list is in the order of directories": {check: "list order and prefixes", of: list(func(objs []sdk.Object, err error, yield func(sdk.Object, error) bool) {
		slices.SortFunc(objs, func(a, b sdk.Object) int {
			return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
		})
		for _, o := range objs {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(sdk.Object{}, err)
		}
	})},
	"list ends after a page": {check: "list more than a page", of: list(func(objs []sdk.Object, err error, yield func(sdk.Object, error) bool) {
		for _, o := range objs[:min(len(objs), 1000)] {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(sdk.Object{}, err)
		}
	})},
	"list takes a prefix for a directory": {check: "list order and prefixes", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, list: func(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
			if prefix != "" && !strings.HasSuffix(prefix, "/") {
				prefix += "/"
			}
			return d.List(ctx, prefix)
		}}
	}},
	"delete wants something to delete": {check: "delete twice, and nothing else", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, del: func(ctx context.Context, name string) error {
			if v, err := d.Version(ctx, name); v == "" && err == nil {
				return fmt.Errorf("%s: %w", name, sdk.ErrNotExist)
			}
			return d.Delete(ctx, name)
		}}
	}},
	"delete takes what is below": {check: "delete twice, and nothing else", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, del: func(_ context.Context, name string) error { return os.RemoveAll(filepath.Join(d.path, name)) }}
	}},
	"replace ignores the version": {check: "replace the version given only", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, replace: func(ctx context.Context, name string, r io.Reader, _ string) (string, error) {
			v, err := d.Version(ctx, name)
			if err != nil {
				return "", err
			}
			return d.Replace(ctx, name, r, v)
		}}
	}},
	"replace compares before it locks": {check: "one of 64 replaces wins", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, replace: func(ctx context.Context, name string, r io.Reader, version string) (string, error) {
			if version == "" {
				return d.Replace(ctx, name, r, "")
			}
			if err := d.compare(ctx, name, version); err != nil {
				return "", err
			}
			meet(name + version)
			u, err := d.upload(ctx, name, r)
			if err != nil {
				return "", err
			}
			defer u.close()
			return u.version, u.dir.Rename(u.tmp, u.base)
		}}
	}},
	"replace writes in place": {check: "replace is seen whole", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, replace: func(ctx context.Context, name string, r io.Reader, version string) (string, error) {
			if version == "" {
				return d.Replace(ctx, name, r, "")
			}
			if err := d.compare(ctx, name, version); err != nil {
				return "", err
			}
			data, err := io.ReadAll(r)
			if err != nil {
				return "", err
			}
			f, err := os.OpenFile(filepath.Join(d.path, name), os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				return "", err
			}
			defer f.Close()
			<-time.After(50 * time.Millisecond) // others look
			for part := range slices.Chunk(data, 4096) {
				if _, err := f.Write(part); err != nil {
					return "", err
				}
			}
			return d.Version(ctx, name)
		}}
	}},
	"probe leaves its file": {check: "probe leaves nothing", of: func(d *destination) sdk.Destination {
		return &broken{destination: d, probe: func(ctx context.Context) error {
			return d.Put(ctx, fmt.Sprintf("probe-%d", time.Now().UnixNano()), strings.NewReader("probe"))
		}}
	}},
}

// The good destination passes these checks: see TestDestination.
func TestKitCatchesMutants(t *testing.T) {
	denied := &conformance.Variant{Settings: map[string]any{"uri": closed(t)}, Env: []string{nobody}}
	for _, name := range slices.Sorted(maps.Keys(mutants)) {
		t.Run(name, func(t *testing.T) {
			m := mutants[name]
			var results iter.Seq[conformance.Result]
			if m.direct {
				d, err := open(t.Context(), Config{URI: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				results = conformance.CheckDestination(t.Context(), m.of(d), m.check)
			} else {
				results = conformance.Subject{
					Path:     os.Args[0],
					Settings: map[string]any{"uri": t.TempDir()},
					Env:      []string{"BROCK_TEST_MUTANT=" + name},
					Denied:   denied,
					Only:     []string{m.check},
				}.Destination(t.Context())
			}
			checks := 0
			for r := range results {
				checks++
				if len(r.Failures) == 0 {
					t.Errorf("check %q found nothing (skipped: %q)", r.Check, r.Skipped)
				}
				for _, f := range r.Failures {
					t.Logf("%s: %s", r.Check, f)
				}
			}
			if checks != 1 {
				t.Errorf("%d checks have the name %q", checks, m.check)
			}
		})
	}
}
