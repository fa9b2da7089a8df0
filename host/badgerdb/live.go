package badgerdb

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v3"
)

// A Live is one moment of databases that this process has open. Whatever is written,
// dropped or compacted from then on, it can still be read: by the [Source] that Open
// makes of it.
type Live struct {
	opt    Options
	now    time.Time
	readTs uint64
	pins   map[uint32]*pin
}

// OpenLive is [PinLive] and [Live.Open] in one.
func OpenLive(dbs map[uint32]*badger.DB, o Options) (*Source, error) {
	l, err := PinLive(dbs, o)
	if err != nil {
		return nil, err
	}
	return l.Open()
}

// PinLive takes hold of what dbs, one for each group, contain at this moment. It takes
// milliseconds, and waits for a [DropAll] or [DropPrefix] that is under way. Open it soon, or
// close it: until then it holds memtables, and their logs.
//
// A database in managed mode has no clock: o.ReadTs is the moment, up to which
// everything must have been written. Until Open has returned, nothing may be written
// below it that does not make sense without what follows: a long list goes after its
// parts. A database in unmanaged mode tells its moment itself; there can only be one.
//
// The encryption key is the one that the database was opened with.
func PinLive(dbs map[uint32]*badger.DB, o Options) (_ *Live, err error) {
	if len(dbs) == 0 {
		return nil, errors.New("no database to read")
	}
	l := &Live{opt: o, now: time.Now(), readTs: o.ReadTs, pins: map[uint32]*pin{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, id := range slices.Sorted(maps.Keys(dbs)) {
		db := dbs[id]
		if err := readable(db, len(dbs), o.ReadTs); err != nil {
			return nil, fmt.Errorf("group %d: %w", id, err)
		}
		p, err := pinDB(db, o.ReadTs)
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", id, err)
		}
		l.pins[id] = p
		l.readTs = p.upTo
	}
	return l, nil
}

// readable tells what cannot be read alive.
func readable(db *badger.DB, dbs int, readTs uint64) error {
	dir := db.Opts().Dir
	if db.IsClosed() {
		return fmt.Errorf("%s: %w", dir, badger.ErrDBClosed)
	}
	_, own := clock(db)
	switch {
	case db.Opts().InMemory:
		return fmt.Errorf("%w: it is in memory only, and Brock reads files", ErrNotBadger)
	case !own && readTs == 0:
		return fmt.Errorf("%s is in managed mode and has no clock: say up to which timestamp it is written (Options.ReadTs)", dir)
	case own && readTs != 0:
		return fmt.Errorf("%s has a clock of its own and can be read at the present moment only: leave Options.ReadTs 0", dir)
	case own && dbs > 1:
		return fmt.Errorf("%s has a clock of its own, and %d databases have no moment in common: back each up by itself", dir, dbs)
	}
	return nil
}

// clock returns the present moment of a database in unmanaged mode. A managed one has
// no clock: View reads it at the end of time.
func clock(db *badger.DB) (now uint64, ok bool) {
	_ = db.View(func(txn *badger.Txn) error {
		now = txn.ReadTs()
		return nil
	})
	return now, now != math.MaxUint64
}

// Close lets go. After Open it is the source that is closed.
func (l *Live) Close() error {
	var errs []error
	for _, p := range l.pins {
		errs = append(errs, p.release())
	}
	clear(l.pins)
	return errors.Join(errs...)
}

// Open makes a source of what is held, which closing the source lets go. The databases must
// stay open until then. An error has let go already.
func (l *Live) Open() (_ *Source, err error) {
	s := newSource(l.opt)
	s.now = l.now
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(), l.Close())
		}
	}()
	newest := uint64(1) // of an empty database: see since
	for _, id := range slices.Sorted(maps.Keys(l.pins)) {
		p := l.pins[id]
		st, err := p.open()
		if err != nil {
			return nil, err
		}
		delete(l.pins, id)
		s.groups[id] = &group{store: st}
		newest = max(newest, st.maxVersion())
	}
	s.readTs = l.readTs
	if l.opt.ReadTs == 0 {
		// Badger's clock may be ahead of what was written, and begins anew behind that
		// when the database is opened again.
		s.readTs = min(max(l.readTs, 1), newest)
	}
	if err := s.detect(); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes a store of what p holds, which then is the store's.
func (p *pin) open() (_ *store, err error) {
	opt := p.db.Opts()
	if err := checkDir(opt.Dir); err != nil {
		return nil, err
	}
	if p.clock && !opt.SyncWrites && !opt.ReadOnly {
		// What a backup shows must not be undone by a power failure: other writes would
		// get its versions, and the next incremental backup would pass them over.
		if err := Sync(p.db); err != nil {
			return nil, err
		}
	}
	s := &store{dir: opt.Dir, mems: p.load()}
	if s.keys, err = openKeys(opt.Dir, opt.EncryptionKey); err != nil {
		return nil, err
	}
	s.values = newValueLog(opt.ValueDir, s.keys)
	for _, held := range p.runs {
		r := make(run, len(held))
		for i, t := range held {
			dk, err := s.keys.DataKey(t.KeyID())
			if err != nil {
				return nil, fmt.Errorf("%s: %w: table %d needs data key %d", s.dir, ErrKey, t.ID(), t.KeyID())
			}
			var key []byte
			if dk != nil {
				key = dk.Data
			}
			if r[i], err = openTable(s.dir, t.ID(), 0, t.CompressionType(), key); err != nil {
				return nil, err
			}
		}
		s.runs = append(s.runs, r)
	}
	s.pin = p
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go p.keep()
	return s, nil
}
