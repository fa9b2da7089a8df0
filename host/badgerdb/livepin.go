package badgerdb

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/skl"
	badgertable "github.com/dgraph-io/badger/v3/table"
)

// A pin holds the tables and memtables that a database had at one moment, and the value
// logs that they point into. Badger deletes a table when nobody refers to it, and empties
// it first, so that a link to it would not do.
type pin struct {
	db     *badger.DB
	clock  bool // in unmanaged mode
	upTo   uint64
	shared *sharing

	runs [][]*badgertable.Table // as they rank: each table of level 0, then level by level

	mu    sync.Mutex
	held  []*skl.Skiplist // not copied yet; newest first
	mems  []*memtable
	keeps hold

	stop, done chan struct{} // of keep; nil: it does not run
}

// A hold keeps Badger from removing value logs.
type hold struct {
	txn *badger.Txn
	it  *badger.Iterator
}

func (h hold) release() {
	if h.it != nil {
		h.it.Close()
		h.txn.Discard()
	}
}

// pinDB pins db at readTs, or if that is 0 at the present moment of its clock.
func pinDB(db *badger.DB, readTs uint64) (_ *pin, err error) {
	p := &pin{db: db, clock: readTs == 0, shared: share(db)}
	p.shared.drop.RLock()
	defer p.shared.drop.RUnlock()
	p.shared.add(p)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	if err := pendingDrop(db.Opts().Dir); err != nil {
		return nil, err
	}
	if err := p.renew(); err != nil { // before the tables: what they point to must not go
		return nil, err
	}
	txn := p.view(readTs)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	p.upTo = txn.ReadTs()
	return p, p.collect(reflect.ValueOf(it).Elem().FieldByName("iitr"))
}

// view begins a transaction that reads.
func (p *pin) view(readTs uint64) *badger.Txn {
	if p.clock {
		return p.db.NewTransaction(false)
	}
	return p.db.NewTransactionAt(readTs, false)
}

// collect takes references to the tables and memtables that an iterator of Badger stands on. Badger
// has no other way to ask for them; its last release of version 3 is the one in go.mod.
func (p *pin) collect(v reflect.Value) error {
	if v.IsNil() {
		return nil // nothing in it
	}
	switch v = v.Elem(); v.Type() {
	case reflect.TypeFor[*badgertable.MergeIterator]():
		for _, side := range []string{"left", "right"} {
			if err := p.collect(v.Elem().FieldByName(side).FieldByName("iter")); err != nil {
				return err
			}
		}
	case reflect.TypeFor[*skl.UniIterator]():
		m := (*skl.Skiplist)(v.Elem().FieldByName("iter").Elem().FieldByName("list").UnsafePointer())
		m.IncrRef()
		p.held = append(p.held, m)
	case reflect.TypeFor[*badgertable.Iterator]():
		p.holdTables((*badgertable.Table)(v.Elem().FieldByName("t").UnsafePointer()))
	case reflect.TypeFor[*badgertable.ConcatIterator]():
		tables := v.Elem().FieldByName("tables")
		level := make([]*badgertable.Table, tables.Len())
		for i := range level {
			level[i] = (*badgertable.Table)(tables.Index(i).UnsafePointer())
		}
		p.holdTables(level...)
	default:
		return fmt.Errorf("%w: its iterator is made of %s", ErrVersion, v.Type())
	}
	return nil
}

func (p *pin) holdTables(level ...*badgertable.Table) {
	for _, t := range level {
		t.IncrRef()
	}
	p.runs = append(p.runs, level)
}

// load copies the memtables, once, and lets go of them.
func (p *pin) load() []*memtable {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copyHeld()
	return p.mems
}

func (p *pin) copyHeld() {
	for _, sl := range p.held {
		if m := copyMemtable(sl, p.upTo); len(m.items) > 0 {
			p.mems = append(p.mems, m)
		}
		sl.DecrRef()
	}
	p.held = nil
}

// copyMemtable copies versions up to upTo. Others may be being written.
func copyMemtable(sl *skl.Skiplist, upTo uint64) *memtable {
	const chunk = 1 << 20
	m := &memtable{}
	var room []byte
	keep := func(b []byte) []byte {
		if len(b) > cap(room)-len(room) {
			room = make([]byte, 0, max(chunk, len(b)))
		}
		at := len(room)
		room = append(room, b...)
		return slices.Clip(room[at:])
	}
	it := sl.NewIterator()
	defer it.Close()
	it.SeekToFirst()
	for n := 1; it.Valid(); it.Next() {
		if n++; n&63 == 0 {
			runtime.Gosched() // see reader.step
		}
		var c item
		if !c.setKey(it.Key()) || c.version > upTo {
			continue
		}
		v := it.Value()
		c = item{key: keep(c.key), version: c.version, meta: v.Meta &^ (metaTxn | metaFinTxn), userMeta: v.UserMeta, expiresAt: v.ExpiresAt, value: keep(v.Value)}
		m.items = append(m.items, c)
		m.maxVersion = max(m.maxVersion, c.version)
		m.size += int64(len(c.key) + len(c.value) + 16)
	}
	return m
}

// keepFor is how long the log of a memtable that has become a table may be kept in place.
const keepFor = time.Second

// keep holds the value logs until release: Badger removes none while there is an
// iterator. But an iterator holds memtables as well, and with them their logs, where
// Badger after a crash would find again what by then is in tables, or compacted away, or
// dropped. So there is always one, and never an old one.
func (p *pin) keep() {
	defer close(p.done)
	tick := time.NewTicker(keepFor)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			if p.settle() != nil {
				return
			}
		}
	}
}

// settle lets go of memtables that have become tables.
func (p *pin) settle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copyHeld()
	return p.renew()
}

// nowhere begins no key, for it is longer than any: an iterator over it needs no table.
var nowhere = slices.Repeat([]byte{0xff}, maxKey+1)

// renew holds the value logs anew, and then lets go of what was held for that before.
func (p *pin) renew() (err error) {
	defer func() { // Badger is not made for being asked while it is closed
		if v := recover(); v != nil {
			err = fmt.Errorf("%s: closed while it is being read: %w (%v)", p.db.Opts().Dir, badger.ErrDBClosed, v)
		}
	}()
	if p.db.IsClosed() {
		return badger.ErrDBClosed
	}
	txn := p.view(1)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: nowhere})
	p.keeps.release()
	p.keeps = hold{txn, it}
	return nil
}

// release lets go of everything, once.
func (p *pin) release() error {
	if p.shared == nil {
		return nil
	}
	p.shared.remove(p)
	p.shared = nil
	if p.stop != nil {
		close(p.stop)
		<-p.done
	}
	var errs []error
	for _, level := range p.runs {
		for _, t := range level {
			errs = append(errs, t.DecrRef())
		}
	}
	for _, m := range p.held {
		m.DecrRef()
	}
	p.keeps.release()
	p.runs, p.held, p.mems = nil, nil, nil
	return errors.Join(errs...)
}
