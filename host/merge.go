package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A stream yields items in order. An item is valid until the next call.
type stream interface {
	next(*item) (bool, error)
	close()
}

// A merge yields the items of several streams as one, in order.
type merge struct {
	heads []head // a heap: the first comes next
	last  *head  // whose item was given out and must be replaced
}

type head struct {
	item
	s stream
}

func newMerge(streams []stream) (*merge, error) {
	m := &merge{heads: make([]head, 0, len(streams))}
	for _, s := range streams {
		h := head{s: s}
		ok, err := s.next(&h.item)
		if err != nil {
			return nil, err
		}
		if ok {
			m.heads = append(m.heads, h)
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m, nil
}

// next returns the next item, or nil at the end.
func (m *merge) next() (*item, error) {
	if m.last != nil {
		ok, err := m.last.s.next(&m.last.item)
		if err != nil {
			return nil, err
		}
		if !ok {
			n := len(m.heads) - 1
			m.heads[0] = m.heads[n]
			m.heads = m.heads[:n]
		}
		m.sink(0)
	}
	if len(m.heads) == 0 {
		m.last = nil
		return nil, nil
	}
	m.last = &m.heads[0]
	return &m.last.item, nil
}

func (m *merge) sink(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(m.heads) && m.heads[child].before(&m.heads[least].item) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		m.heads[i], m.heads[least] = m.heads[least], m.heads[i]
		i = least
	}
}

// A fileStream reads one sealed file, which is in key order, ahead of the merge.
type fileStream struct {
	batches chan *batch
	free    chan *batch
	cancel  context.CancelFunc
	err     error // set before batches is closed
	cur     *batch
	i       int
}

// A batch is a few hundred KiB of decoded items.
type batch struct {
	arena []byte
	offs  []int
}

const batchSize = 256 << 10

// newFileStream begins to read. next yields each item with the chain's index.
func newFileStream(ctx context.Context, src io.Closer, r entryReader, index int, kind manifest.Kind) *fileStream {
	ctx, cancel := context.WithCancel(ctx)
	f := &fileStream{batches: make(chan *batch, 2), free: make(chan *batch, 3), cancel: cancel}
	for range cap(f.free) {
		f.free <- &batch{}
	}
	go func() {
		defer close(f.batches)
		defer src.Close()
		f.err = f.fill(ctx, r, index, kind)
	}()
	return f
}

func (f *fileStream) fill(ctx context.Context, r entryReader, index int, kind manifest.Kind) error {
	d := decoder{r: r, index: index, keys: keyReader{kind: kind}}
	for {
		var b *batch
		select {
		case b = <-f.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := d.fill(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		select {
		case f.batches <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// An entryReader yields the entries of a file. io.EOF: there are no more.
type entryReader interface {
	Next(*backupfile.Entry) error
}

// A decoder turns the entries of a sealed file into items.
type decoder struct {
	r     entryReader
	index int
	keys  keyReader
	entry backupfile.Entry
	last  []byte
}

// fill replaces what b holds. io.EOF: it is the last batch.
func (d *decoder) fill(b *batch) error {
	b.arena, b.offs = b.arena[:0], b.offs[:0]
	for len(b.arena) < batchSize {
		if err := d.r.Next(&d.entry); err != nil {
			return err
		}
		key, err := d.keys.sortKey(d.entry.Key)
		if errors.Is(err, dgraph.ErrZeroUID) {
			continue
		}
		if err != nil {
			return err
		}
		if err := inOrder(d.last, key, d.keys.kind); err != nil {
			return err
		}
		d.last = append(d.last[:0], key...)
		b.offs = append(b.offs, len(b.arena))
		b.arena = appendItem(b.arena, key, d.index, &d.entry)
	}
	return nil
}

func inOrder(last, key []byte, kind manifest.Kind) error {
	c := bytes.Compare(last, key)
	if c < 0 || c == 0 && kind == manifest.KindBadger || last == nil {
		return nil
	}
	return fmt.Errorf("key %q after %q: %w", key, last, backupfile.ErrCorrupt)
}

func (f *fileStream) next(it *item) (bool, error) {
	for f.cur == nil || f.i == len(f.cur.offs) {
		if f.cur != nil {
			f.free <- f.cur
			f.cur = nil
		}
		b, ok := <-f.batches
		if !ok {
			return false, f.err
		}
		f.cur, f.i = b, 0
	}
	it.decode(f.cur.arena[f.cur.offs[f.i]:])
	f.i++
	return true, nil
}

// close stops reading and waits until the reader has ended.
func (f *fileStream) close() {
	f.cancel()
	for range f.batches {
	}
}

// A keyReader turns the keys of a file into sort keys: Badger keys in the
// layout of Dgraph 21.03 and later.
type keyReader struct {
	kind manifest.Kind
	key  dgraph.Key
	buf  []byte
}

func (k *keyReader) sortKey(fileKey []byte) ([]byte, error) {
	if k.kind == manifest.KindBadger {
		return fileKey, nil
	}
	if err := dgraph.ParseBackupKey(fileKey, &k.key); err != nil {
		return nil, err
	}
	var err error
	k.buf, err = dgraph.AppendKey(k.buf[:0], dgraph.LayoutV21, &k.key)
	return k.buf, err
}
