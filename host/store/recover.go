package store

import (
	"context"
	"fmt"

	"github.com/brock-backup/brock/host/badgerdb"
)

// maxLog is how long a file of the log becomes.
const maxLog = 64 << 20

// recover replays the log and reads the schema.
func (s *Store) recover(ctx context.Context) (err error) {
	var move *record // that has begun, and not come to its end
	s.log, err = openLog(s.logDir(), s.opt.EncryptionKey, func(r *record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.ts, s.uid = max(s.ts, r.ts), max(s.uid, r.uid)
		switch r.kind {
		case recordCommit, recordDrop, recordTs, recordMove, recordMoved, recordRoll:
		default:
			return fmt.Errorf("%w: a record of kind %d, which this version does not know", ErrDamaged, r.kind)
		}
		switch r.kind {
		case recordMove:
			copied := *r
			move = &copied
		case recordMoved: // what follows may be about a new predicate of that name
			move = nil
			return s.finishMove(ctx, r)
		}
		return s.apply(s.dbs, r)
	})
	if err != nil {
		return err
	}
	for _, db := range s.dbs.byGroup {
		s.ts = max(s.ts, db.MaxVersion())
	}
	s.leased = s.uid
	if err := s.finishMove(ctx, move); err != nil {
		return err
	}
	sc, err := loadSchema(s.dbs)
	if err != nil {
		return err
	}
	s.setSchema(sc)
	s.applied = s.ts
	s.touched.forget(s.ts) // nobody knows what was changed before
	if n := len(s.dbs.banned); n > 0 {
		s.opt.Logger.Info("namespaces that Dgraph has deleted cannot be written to", "namespaces", n)
	}
	return s.checkpoint()
}

// checkpoint makes Badger durable and the log empty. Nothing is committed meanwhile.
func (s *Store) checkpoint() error {
	if err := s.log.next(); err != nil {
		return err
	}
	return s.forget(s.log.n)
}

// rotate begins a new file of the log, and lets go of those before it once Badger is
// durable, beside the committer's work.
func (s *Store) rotate() {
	if err := s.log.next(); err != nil {
		s.rotateAt = s.log.size + maxLog
		s.opt.Logger.Error("the log goes on in its present file", "error", err)
		return
	}
	s.rotateAt = maxLog
	n := s.log.n
	s.mu.Lock()
	dbs, discard := s.dbs, s.applied
	dbs.readers.enter()
	for readTs := range s.reading {
		discard = min(discard, readTs)
	}
	s.mu.Unlock()
	for _, db := range dbs.byGroup {
		db.SetDiscardTs(discard) // of what was rolled up, older versions can go
	}
	s.side.Go(func() {
		defer dbs.readers.leave()
		if err := s.forget(n); err != nil {
			s.opt.Logger.Error("the log cannot be shortened", "error", err)
		}
	})
}

// forget removes the files of the log before number n, whose entries are all in Badger.
func (s *Store) forget(n int) error {
	s.forgets.Lock()
	defer s.forgets.Unlock()
	if s.dbs.broken != nil { // to sync again says nothing of what was lost
		return s.dbs.broken
	}
	if err := s.dbs.sync(); err != nil {
		s.dbs.broken = err
		return err
	}
	s.mu.RLock()
	st := savedState{Ts: s.ts, UID: max(s.uid, s.leased), Ns: s.ns, ID: s.id}
	s.mu.RUnlock()
	if err := s.saveState(st); err != nil {
		return err
	}
	return s.log.forget(n)
}

// sync makes durable what was written to Badger.
func (d *databases) sync() error {
	for _, db := range d.byGroup {
		if err := badgerdb.Sync(db); err != nil {
			return err
		}
	}
	return nil
}
