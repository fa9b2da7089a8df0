package badgerdb

import (
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v3"
)

// A sharing is what those who read and who drop parts of a database in this process
// know of each other.
type sharing struct {
	db    *badger.DB
	users int          // guarded by sharings
	drop  sync.RWMutex // who drops has it alone, who pins shares it

	mu   sync.Mutex
	pins []*pin
}

var sharings = struct {
	sync.Mutex
	of map[*badger.DB]*sharing
}{of: map[*badger.DB]*sharing{}}

// share returns the database's sharing, until leave.
func share(db *badger.DB) *sharing {
	sharings.Lock()
	defer sharings.Unlock()
	s := sharings.of[db]
	if s == nil {
		s = &sharing{db: db}
		sharings.of[db] = s
	}
	s.users++
	return s
}

func (s *sharing) leave() {
	sharings.Lock()
	defer sharings.Unlock()
	if s.users--; s.users == 0 {
		delete(sharings.of, s.db)
	}
}

func (s *sharing) add(p *pin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins = append(s.pins, p)
}

// remove forgets p, and leaves for it.
func (s *sharing) remove(p *pin) {
	s.mu.Lock()
	s.pins = slices.DeleteFunc(s.pins, func(o *pin) bool { return o == p })
	s.mu.Unlock()
	s.leave()
}

// read reports whether anybody reads the database.
func (s *sharing) read() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pins) > 0
}

func (s *sharing) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pins {
		if err := p.settle(); err != nil {
			return err
		}
	}
	return nil
}

// lockDrops keeps everybody else from dropping and pinning.
func lockDrops(db *badger.DB) *sharing {
	s := share(db)
	s.drop.Lock()
	return s
}

func (s *sharing) unlockDrops() {
	s.drop.Unlock()
	s.leave()
}

// Settle makes live sources let go of the logs of memtables that have become tables.
// Badger reads those logs at its next start: after a crash, what was dropped since
// would be back. [DropAll] and [DropPrefix] settle; who calls Badger's own DropPrefix
// does it before the drop counts as done.
func Settle(db *badger.DB) error {
	s := share(db)
	defer s.leave()
	return s.settle()
}
