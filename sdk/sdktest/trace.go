package sdktest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/brock-backup/brock/sdk"
)

// A Trace is a destination that writes down what is asked of it, one line each,
// in the order in which the answers were known:
//
//	put NAME SIZE        get NAME        list PREFIX      version NAME
//	replace NAME SIZE    get NAME @OFFSET                 delete NAME
//
// A line of something that failed ends with ": " and the error's text, in place
// of the size.
type Trace struct {
	d sdk.Destination

	mu    sync.Mutex
	lines []string
}

var (
	_ sdk.Destination = (*Trace)(nil)
	_ sdk.Replacer    = (*Trace)(nil)
)

// NewTrace returns a Trace without lines. Its Replace and Version return
// ErrUnsupported if d has none.
func NewTrace(d sdk.Destination) *Trace { return &Trace{d: d} }

// Lines returns the lines so far.
func (t *Trace) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

// Reset forgets the lines so far.
func (t *Trace) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = nil
}

func (t *Trace) add(line, success string, err error) {
	if err != nil {
		success = ": " + err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line+success)
}

// Put implements sdk.Destination.
func (t *Trace) Put(ctx context.Context, name string, r io.Reader) error {
	n := &countReader{r: r}
	err := t.d.Put(ctx, name, n)
	t.add("put "+name, fmt.Sprintf(" %d", n.size), err)
	return err
}

// Replace implements sdk.Replacer.
func (t *Trace) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	d, err := replacer(t.d)
	if err != nil {
		return "", err
	}
	n := &countReader{r: r}
	version, err = d.Replace(ctx, name, n, version)
	t.add("replace "+name, fmt.Sprintf(" %d", n.size), err)
	return version, err
}

// Version implements sdk.Replacer.
func (t *Trace) Version(ctx context.Context, name string) (string, error) {
	d, err := replacer(t.d)
	if err != nil {
		return "", err
	}
	version, err := d.Version(ctx, name)
	t.add("version "+name, "", err)
	return version, err
}

// Get implements sdk.Destination.
func (t *Trace) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	r, err := t.d.Get(ctx, name, offset)
	line := "get " + name
	if offset != 0 {
		line += fmt.Sprintf(" @%d", offset)
	}
	t.add(line, "", err)
	return r, err
}

// List implements sdk.Destination.
func (t *Trace) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		var failure error
		defer func() { t.add("list "+prefix, "", failure) }()
		for o, err := range t.d.List(ctx, prefix) {
			failure = err
			if !yield(o, err) {
				return
			}
		}
	}
}

// Delete implements sdk.Destination.
func (t *Trace) Delete(ctx context.Context, name string) error {
	err := t.d.Delete(ctx, name)
	t.add("delete "+name, "", err)
	return err
}

// Close closes the destination behind it.
func (t *Trace) Close() error { return closeDestination(t.d) }

type countReader struct {
	r    io.Reader
	size int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.size += int64(n)
	return n, err
}
