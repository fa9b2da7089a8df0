package badgerdb

import (
	"errors"
	"os"
	"sync"

	badgertable "github.com/dgraph-io/badger/v3/table"
	"github.com/dgraph-io/badger/v3/y"
	"github.com/dgraph-io/ristretto/z"
)

// A builder makes one table.
type builder struct {
	b    *badgertable.Builder
	size int64 // of what was added
}

func (b *builder) add(stored, value []byte, userMeta, meta byte, expiresAt uint64, inLog int) {
	b.b.Add(stored, y.ValueStruct{Meta: meta, UserMeta: userMeta, ExpiresAt: expiresAt, Value: value}, uint32(inLog))
	b.size += int64(len(stored) + len(value) + headerSize)
}

// A tableWriter writes finished tables to files, one at a time, while others are being
// made.
type tableWriter struct {
	w     *Writer
	opt   badgertable.Options
	pool  *z.AllocatorPool
	ids   []uint64
	queue chan *queued
	done  chan struct{}

	mu     sync.Mutex
	failed error
	closed bool
}

type queued struct {
	b  *builder
	id uint64
}

func newTableWriter(w *Writer) *tableWriter {
	t := &tableWriter{w: w, queue: make(chan *queued), done: make(chan struct{}), pool: z.NewAllocatorPool(4)}
	t.opt = badgertable.Options{
		BlockSize:          4 << 10,
		BloomFalsePositive: 0.01,
		Compression:        w.compress,
		DataKey:            w.dataKey,
		AllocPool:          t.pool,
	}
	go t.run()
	return t
}

func (t *tableWriter) builder() *builder {
	opt := t.opt
	opt.TableSize = uint64(t.w.tableSize())
	return &builder{b: badgertable.NewTableBuilder(opt)}
}

// finish hands a table over to be written. An error may come later, from err or close.
func (t *tableWriter) finish(b *builder) error {
	id := uint64(len(t.ids)) + 1
	t.ids = append(t.ids, id)
	t.queue <- &queued{b, id}
	return t.err()
}

func (t *tableWriter) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// close waits until every table is written.
func (t *tableWriter) close() error {
	if t.closed {
		return t.err()
	}
	t.closed = true
	close(t.queue)
	<-t.done
	for _, s := range []*sorted{t.w.main, t.w.parts} {
		if s.table != nil { // given up
			s.table.b.Done()
			s.table.b.Close()
			s.table = nil
		}
	}
	t.pool.Release()
	return t.err()
}

func (t *tableWriter) run() {
	defer close(t.done)
	var buf []byte
	for q := range t.queue {
		bd := q.b.b.Done()
		if t.err() == nil {
			buf = grow(buf, bd.Size)
			bd.Copy(buf)
			if err := createFile(badgertable.NewFilename(q.id, t.w.dir), buf); err != nil {
				t.mu.Lock()
				t.failed = err
				t.mu.Unlock()
			}
		}
		q.b.b.Close()
	}
}

// createFile writes a file that must not exist, durably.
func createFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
