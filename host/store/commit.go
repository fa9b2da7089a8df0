package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v3"
	"golang.org/x/sys/unix"
)

// maxBatch is how many transactions are committed together at most.
const maxBatch = 1024

// maxBatchBytes ends a batch before it takes too much memory.
const maxBatchBytes = 8 << 20

// A request waits for the committer.
type request struct {
	ctx  context.Context
	m    *prepared    // a mutation,
	op   func() error // or something that must not be overtaken
	ts   uint64       // of the mutation
	done chan error
}

// ask hands a request to the committer and waits for it. When it gives up waiting the
// request may still be done.
func (s *Store) ask(r *request) error {
	r.done = make(chan error, 1)
	select {
	case <-s.stop: // with room in the queue, the one below would be a matter of luck
		return ErrClosed
	default:
	}
	select {
	case s.requests <- r:
	case <-s.stop:
		return ErrClosed
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-s.done: // it may have been the last thing that the committer did
		select {
		case err := <-r.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// exclusive runs op while nothing is being committed.
func (s *Store) exclusive(ctx context.Context, op func() error) error {
	return s.ask(&request{ctx: ctx, op: op})
}

// change is exclusive for what writes.
func (s *Store) change(ctx context.Context, op func() error) error {
	return s.exclusive(ctx, func() error {
		if s.draining.Load() {
			return ErrDraining
		}
		return op()
	})
}

// run is the committer.
func (s *Store) run() {
	defer close(s.done)
	for {
		select {
		case r := <-s.requests:
			s.serve(r)
		case <-s.stop:
			for {
				select {
				case r := <-s.requests:
					s.serve(r)
				default:
					return
				}
			}
		}
	}
}

// serve commits r and what else is waiting.
func (s *Store) serve(r *request) {
	b := &batch{s: s}
	for n := 0; ; n++ {
		switch {
		case s.failed != nil:
			r.done <- s.failed
		case r.ctx.Err() != nil:
			r.done <- r.ctx.Err()
		case r.op != nil:
			b.flush()
			if s.failed != nil {
				r.done <- s.failed
			} else {
				r.done <- r.op()
			}
		default:
			b.add(r)
		}
		if n >= maxBatch || b.bytes > maxBatchBytes {
			break
		}
		select {
		case r = <-s.requests:
			continue
		default:
		}
		break
	}
	b.flush()
	if s.log.size > s.rotateAt && s.failed == nil {
		s.rotate()
	}
}

// A batch is transactions that become durable together.
type batch struct {
	s       *Store
	ts      uint64 // given out last
	reqs    []*request
	records []*record
	bytes   int
	ops     []*prepared
	unread  unread
}

// add gives a mutation its timestamp and its place.
func (b *batch) add(r *request) {
	if b.s.draining.Load() {
		r.done <- ErrDraining
		return
	}
	if err := b.s.renew(r.m); err != nil {
		r.done <- err
		return
	}
	if r.m.m.StartTs != 0 || b.unread.has(r.m) {
		b.flush()
	}
	if len(b.reqs) == 0 {
		b.ts = b.s.ts
	}
	ts := b.ts + 1
	entries, err := b.s.entries(r.m, ts)
	if err == nil {
		err = b.s.dbs.accept(entries)
	}
	if err != nil {
		r.done <- err
		return
	}
	b.ts, r.ts = ts, ts
	b.reqs = append(b.reqs, r)
	b.records = append(b.records, &record{kind: recordCommit, ts: ts, uid: r.m.maxUID, entries: entries})
	for i := range entries {
		b.bytes += len(entries[i].key) + len(entries[i].value) + 16
	}
	b.ops = append(b.ops, r.m)
	b.unread.add(r.m.lists)
	if len(r.m.fresh) > 0 {
		b.flush() // what comes next must see the new predicates
	}
}

// flush writes the batch and tells everybody.
func (b *batch) flush() {
	if len(b.reqs) == 0 {
		return
	}
	err := b.s.write(b.records...)
	if err == nil {
		for i, m := range b.ops {
			b.s.committed(m, b.records[i])
		}
	}
	for _, r := range b.reqs {
		r.done <- err
	}
	b.reqs, b.records, b.ops, b.bytes, b.unread = nil, nil, nil, 0, unread{}
}

// write logs the records, and then does what they say. The first half failing leaves all
// as it was; after the second nothing can be written until the log is replayed.
func (s *Store) write(records ...*record) error {
	for _, r := range records {
		if err := s.dbs.accept(r.entries); err != nil {
			return err
		}
		if err := s.fits(r); err != nil {
			return err
		}
	}
	if err := s.log.append(records...); err != nil {
		if errors.Is(err, errLogBroken) {
			s.fail(err)
		}
		return fmt.Errorf("log: %w", err)
	}
	if err := s.apply(s.dbs, records...); err != nil {
		s.fail(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.ts, s.uid = max(s.ts, r.ts), max(s.uid, r.uidGiven())
	}
	s.applied = s.ts
	return nil
}

// accept refuses what Badger would refuse: it must not get into the log, where every start
// would stumble over it.
func (d *databases) accept(entries []entry) error {
	size := 0
	for i := range entries {
		e := &entries[i]
		db := d.byGroup[e.group]
		if db == nil {
			return invalid("there is no group %d", e.group)
		}
		if most := db.Opts().ValueLogFileSize; int64(len(e.value)) > most {
			return invalid("%d MiB for one node and predicate; at most %d MiB are possible", len(e.value)>>20, most>>20)
		}
		if len(d.banned) > 0 && d.banned[namespaceOf(e.key)] {
			return invalid("namespace %#x has been deleted", namespaceOf(e.key))
		}
		if size += len(e.key) + len(e.value) + 32; size > maxRecord {
			return invalid("a transaction of more than %d MiB", maxRecord>>20)
		}
	}
	return nil
}

// kept is how much room is left for Badger, which ends the process when it writes to a file
// for which there is none.
const kept = 256 << 20

// fits refuses a record when there is no room. A drop makes some, and backups need none.
func (s *Store) fits(r *record) error {
	if r.kind == recordDrop || r.kind == recordTs {
		return nil
	}
	return s.hasRoom(kept)
}

func (s *Store) hasRoom(want uint64) error {
	room, err := s.opt.room(s.logDir())
	if err != nil || room >= want {
		return err
	}
	return fmt.Errorf("%s: %w: of %d MiB that must be free, %d are", s.opt.Dir, unix.ENOSPC, want>>20, room>>20)
}

// roomIn is how many bytes can be written to a directory.
func roomIn(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// uidGiven is the highest uid that surely was given out: a lease is not.
func (r *record) uidGiven() uint64 {
	if r.kind == recordTs {
		return 0
	}
	return r.uid
}

func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = fmt.Errorf("nothing can be written until the next start: %w", err)
	s.opt.Logger.Error("nothing can be written until the next start", "error", err)
}

// apply does what records say, in their order. It can be done again.
func (s *Store) apply(dbs *databases, records ...*record) error {
	w := newWriter(dbs)
	defer w.cancel()
	for _, r := range records {
		switch r.kind {
		case recordDrop:
			if err := w.flush(); err != nil {
				return err
			}
			if err := s.crash("drop"); err != nil {
				return err
			}
			if err := s.applyDrop(dbs, r); err != nil {
				return err
			}
			if err := s.crash("record"); err != nil {
				return err
			}
		case recordRoll:
			last := len(r.entries) - 1
			if err := w.add(r.entries[:last]); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
			if err := s.crash("rolled"); err != nil {
				return err
			}
			if err := w.add(r.entries[last:]); err != nil {
				return err
			}
			continue
		case recordMove, recordMoved:
			continue // see move
		}
		if err := w.add(r.entries); err != nil {
			return err
		}
	}
	return w.flush()
}

// crash lets a test end things here.
func (s *Store) crash(step string) error {
	if s.opt.crash == nil {
		return nil
	}
	return s.opt.crash(step)
}

// A writer collects entries for each group's Badger.
type writer struct {
	dbs     *databases
	batches map[uint32]*badger.WriteBatch
}

func newWriter(dbs *databases) *writer {
	return &writer{dbs, map[uint32]*badger.WriteBatch{}}
}

func (w *writer) add(entries []entry) error {
	for i := range entries {
		e := &entries[i]
		wb := w.batches[e.group]
		if wb == nil {
			db := w.dbs.byGroup[e.group]
			if db == nil {
				return fmt.Errorf("%w: the log knows a group %d, which is not there", ErrDamaged, e.group)
			}
			wb = db.NewManagedWriteBatch()
			w.batches[e.group] = wb
		}
		if e.deleted {
			if err := wb.DeleteAt(e.key, e.version); err != nil {
				return err
			}
			continue
		}
		item := badger.NewEntry(e.key, e.value).WithMeta(e.userMeta)
		if e.discard {
			item = item.WithDiscard()
		}
		if err := wb.SetEntryAt(item, e.version); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) flush() error {
	for g, wb := range w.batches {
		delete(w.batches, g)
		if err := wb.Flush(); err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
	}
	return nil
}

func (w *writer) cancel() {
	for _, wb := range w.batches {
		wb.Cancel()
	}
}
