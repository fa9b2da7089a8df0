package store

import (
	"context"
	"fmt"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/manifest"
)

// Source opens the database for a backup, at a new read timestamp. What is written or
// dropped from now on does not change what it shows. Close it.
func (s *Store) Source(ctx context.Context, o badgerdb.Options) (*badgerdb.Source, error) {
	o.Kind, o.EncryptionKey = manifest.KindDgraph, s.opt.EncryptionKey
	if o.Logger == nil {
		o.Logger = s.opt.Logger
	}
	var pinned *badgerdb.Live
	err := s.exclusive(ctx, func() error {
		if s.restoring.Load() { // what follows would not know of this backup's timestamp
			return fmt.Errorf("%w: the database is being replaced", ErrDraining)
		}
		o.ReadTs = s.ts + 1
		if err := s.write(&record{kind: recordTs, ts: o.ReadTs, uid: s.leasedUIDs()}); err != nil {
			return err
		}
		dbs := s.dbs
		o.OnClose = dbs.readers.leave
		dbs.readers.enter()
		var err error
		if pinned, err = badgerdb.PinLive(dbs.byGroup, o); err != nil {
			dbs.readers.leave()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	type opened struct {
		*badgerdb.Source
		err error
	}
	done := make(chan opened)
	go func() {
		badgerdb.Background() // what is copied of memtables, writers need not wait for
		src, err := pinned.Open()
		done <- opened{src, err}
	}()
	src := <-done
	return src.Source, src.err
}

func (s *Store) leasedUIDs() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.leased
}
