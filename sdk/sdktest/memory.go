package sdktest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

// A Memory keeps objects in memory. It is a whole Destination and Replacer, not
// a mock of one: it keeps every promise that the kit checks.
type Memory struct {
	mu      sync.Mutex
	objects map[string]stored
	puts    uint64 // how many objects there have been; the last one's version
}

// A stored object never changes: what is written anew is a new one.
type stored struct {
	data    []byte
	version string
}

var (
	_ sdk.Destination = (*Memory)(nil)
	_ sdk.Replacer    = (*Memory)(nil)
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{objects: map[string]stored{}} }

// Put implements sdk.Destination.
func (m *Memory) Put(ctx context.Context, name string, r io.Reader) error {
	if err := frame.CheckName(name); err != nil {
		return err
	}
	data, err := readAll(ctx, r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[name]; ok {
		return fmt.Errorf("%s: %w", name, sdk.ErrExist)
	}
	m.store(name, data)
	return nil
}

// Replace implements sdk.Replacer.
func (m *Memory) Replace(ctx context.Context, name string, r io.Reader, version string) (string, error) {
	if err := frame.CheckName(name); err != nil {
		return "", err
	}
	data, err := readAll(ctx, r)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects[name].version != version {
		return "", fmt.Errorf("%s: %w", name, sdk.ErrConflict)
	}
	return m.store(name, data), nil
}

func (m *Memory) store(name string, data []byte) (version string) {
	m.puts++
	version = strconv.FormatUint(m.puts, 10)
	m.objects[name] = stored{data, version}
	return version
}

// Version implements sdk.Replacer.
func (m *Memory) Version(ctx context.Context, name string) (string, error) {
	if err := ready(ctx, name); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[name].version, nil
}

// Get implements sdk.Destination.
func (m *Memory) Get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := ready(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	o, ok := m.objects[name]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, sdk.ErrNotExist)
	}
	if size := int64(len(o.data)); offset < 0 || offset > size {
		return nil, fmt.Errorf("%s: offset %d in %d bytes: %w", name, offset, size, sdk.ErrInvalid)
	}
	return io.NopCloser(&contextReader{ctx, bytes.NewReader(o.data[offset:])}), nil
}

// List implements sdk.Destination. It shows the objects of one moment.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	return func(yield func(sdk.Object, error) bool) {
		if err := frame.CheckPrefix(prefix); err != nil {
			yield(sdk.Object{}, err)
			return
		}
		m.mu.Lock()
		objects := maps.Clone(m.objects)
		m.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if ctx.Err() != nil {
				yield(sdk.Object{}, ctx.Err())
				return
			}
			if strings.HasPrefix(name, prefix) && !yield(sdk.Object{Name: name, Size: int64(len(objects[name].data))}, nil) {
				return
			}
		}
	}
}

// Delete implements sdk.Destination.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// Bytes returns a copy of an object, or nil if there is none of that name.
func (m *Memory) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.objects[name].data)
}

// Set stores data under name, whatever was there. No destination can do that:
// it is how a test damages an object.
func (m *Memory) Set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(name, bytes.Clone(data))
}

// Clone returns a Memory of its own with the same objects: what is there if
// everything ends now.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{objects: maps.Clone(m.objects), puts: m.puts}
}

func ready(ctx context.Context, name string) error {
	if err := frame.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// readAll returns data that is never nil.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(&contextReader{ctx, r})
	if err == nil {
		err = ctx.Err()
	}
	return data, err
}

// A contextReader fails once ctx has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
