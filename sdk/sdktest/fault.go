package sdktest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/brock-backup/brock/sdk"
)

// A Fault is a destination that fails on demand. It counts the moments at which
// one can fail, so that a test can run once to learn how many there are, and
// then once for each of them:
//
//	Put, Replace    the start; the first bytes of the source
//	Get             the start; the first bytes read
//	List            the start; the first object
//	Delete, Version the start
//
// A failure at the start means that nothing was done.
type Fault struct {
	d sdk.Destination

	mu     sync.Mutex
	count  int
	failAt int
	loseAt int
	err    error
}

var (
	_ sdk.Destination = (*Fault)(nil)
	_ sdk.Replacer    = (*Fault)(nil)
)

// NewFault returns a Fault that does not fail yet. Its Replace and Version
// return ErrUnsupported if d has none.
func NewFault(d sdk.Destination) *Fault { return &Fault{d: d} }

// FailAt starts the count anew: moment n, counted from 1, fails with err. All
// others do not; with n of 0 none does.
func (f *Fault) FailAt(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.failAt, f.loseAt, f.err = 0, n, 0, err
}

// LoseAt starts the count anew: the answer of the Put, Replace or Delete whose
// start is moment n is lost. It is done, and its caller gets err.
func (f *Fault) LoseAt(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.failAt, f.loseAt, f.err = 0, 0, n, err
}

// Count returns how many moments there have been.
func (f *Fault) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// moment returns what the caller is to fail with now, and what to answer when
// it is done.
func (f *Fault) moment() (now, answer error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	switch f.count {
	case f.failAt:
		return f.err, nil
	case f.loseAt:
		return nil, f.err
	}
	return nil, nil
}

// Put implements sdk.Destination.
func (f *Fault) Put(ctx context.Context, name string, r io.Reader) error {
	now, answer := f.moment()
	if now != nil {
		return now
	}
	if err := f.d.Put(ctx, name, f.reader(r)); err != nil {
		return err
	}
	return answer
}

// Replace implements sdk.Replacer.
func (f *Fault) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	d, err := replacer(f.d)
	if err != nil {
		return "", err
	}
	now, answer := f.moment()
	if now != nil {
		return "", now
	}
	version, err = d.Replace(ctx, name, f.reader(r), version)
	if err != nil {
		return "", err
	}
	if answer != nil {
		return "", answer
	}
	return version, nil
}

// Version implements sdk.Replacer.
func (f *Fault) Version(ctx context.Context, name string) (string, error) {
	d, err := replacer(f.d)
	if err != nil {
		return "", err
	}
	if now, _ := f.moment(); now != nil {
		return "", now
	}
	return d.Version(ctx, name)
}

// Get implements sdk.Destination.
func (f *Fault) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if now, _ := f.moment(); now != nil {
		return nil, now
	}
	r, err := f.d.Get(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{f.reader(r), r}, nil
}

// List implements sdk.Destination.
func (f *Fault) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		if now, _ := f.moment(); now != nil {
			yield(sdk.Object{}, now)
			return
		}
		first := true
		for o, err := range f.d.List(ctx, prefix) {
			if !yield(o, err) || err != nil {
				return
			}
			if !first {
				continue
			}
			first = false
			if now, _ := f.moment(); now != nil {
				yield(sdk.Object{}, now)
				return
			}
		}
	}
}

// Delete implements sdk.Destination.
func (f *Fault) Delete(ctx context.Context, name string) error {
	now, answer := f.moment()
	if now != nil {
		return now
	}
	if err := f.d.Delete(ctx, name); err != nil {
		return err
	}
	return answer
}

// Close closes the destination behind it.
func (f *Fault) Close() error { return closeDestination(f.d) }

// reader has its moment once r has yielded something.
func (f *Fault) reader(r io.Reader) io.Reader { return &faultReader{r: r, f: f} }

type faultReader struct {
	r    io.Reader
	f    *Fault
	err  error
	past bool
}

func (r *faultReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if r.past || n == 0 && err == nil {
		return n, err
	}
	r.past = true
	if r.err, _ = r.f.moment(); r.err != nil {
		return n, r.err
	}
	return n, err
}

func replacer(d sdk.Destination) (sdk.Replacer, error) {
	r, ok := d.(sdk.Replacer)
	if !ok {
		return nil, fmt.Errorf("replace: %w", sdk.ErrUnsupported)
	}
	return r, nil
}

func closeDestination(d sdk.Destination) error {
	if c, ok := d.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
