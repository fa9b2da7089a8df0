package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v3"
	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

var (
	// ErrDraining means that nothing can be written now.
	ErrDraining = errors.New("the server is in draining mode")

	// ErrReserved means a predicate or a type that is the database's own.
	ErrReserved = errors.New("reserved")

	// ErrInvalid means a mutation or an alteration that the schema does not allow; it says
	// what it is about.
	ErrInvalid = errors.New("invalid request")

	// ErrConflict means that something a transaction touches was changed after it began.
	ErrConflict = errors.New("transaction has been aborted, please retry")

	// ErrClosed means a store that is closed.
	ErrClosed = errors.New("the store is closed")

	// ErrDamaged means that what is stored is not what was written.
	ErrDamaged = errors.New("damaged")
)

// Options say how a store is opened.
type Options struct {
	Dir           string     // holds p1, p2, ... or p, or is one p directory; made if there is none
	EncryptionKey sdk.Secret // of the database: 16, 24 or 32 bytes; none if it is not encrypted
	Logger        hclog.Logger
	Groups        int  // of a new database, 1 if 0
	StrictSchema  bool // refuse @index, @reverse and @count, whose keys are not built

	crash func(step string) error // tests: a crash before this step
	small bool                    // tests: Badger's files are
	room  func(dir string) (uint64, error)
}

// A Store is an open database. Its methods may be used concurrently.
type Store struct {
	opt  Options
	lock *os.File // of the log's directory
	id   string   // of the database

	log      *log
	requests chan *request
	stop     chan struct{} // closed: nothing new is accepted
	done     chan struct{} // closed: the committer has ended
	side     sync.WaitGroup

	madeLog   bool            // the log's directory is new
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	draining  atomic.Bool
	replacing sync.Mutex
	forgets   sync.Mutex // files of the log
	takenMu   sync.Mutex // the file of backups
	hot       hotKeys    // the committer's
	rotateAt  int64      // how long the file of the log may become; likewise
	restoring atomic.Bool
	rolls     chan roll

	// The committer alone writes what follows; mu is for those who read.
	mu      sync.RWMutex
	dbs     *databases
	schema  *schema // replaced, never changed
	ts      uint64  // given out last
	applied uint64  // the last commit that can be read
	uid     uint64  // given out last
	leased  uint64  // what the log says of uid
	ns      uint64  // the highest namespace there is or was
	failed  error   // nothing can be written until the next start
	touched touched
	epoch   uint64         // counts what a roll-up must not overlook
	reading map[uint64]int // read timestamps of views
}

// databases are the open Badgers, by group. They are closed when the last of those who
// read has gone.
type databases struct {
	byGroup map[uint32]*badger.DB
	banned  map[uint64]bool // namespaces that Dgraph has deleted: Badger takes nothing of them
	readers gate
	closing bool  // no more readers
	broken  error // what was written may not all be on the disk: the log must stay
}

func (d *databases) groups() []uint32 { return slices.Sorted(maps.Keys(d.byGroup)) }

// A gate counts those who are inside.
type gate struct {
	mu   sync.Mutex
	n    int
	gone chan struct{} // somebody waits for the last one; nil: nobody does
}

func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.gone != nil {
		close(g.gone)
		g.gone = nil
	}
}

// empty is closed when nobody is inside.
func (g *gate) empty() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil {
		return g.gone
	}
	gone := make(chan struct{})
	if g.n == 0 {
		close(gone)
	} else {
		g.gone = gone
	}
	return gone
}

func (d *databases) close() error {
	<-d.readers.empty()
	var errs []error
	for _, db := range d.byGroup {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// Open opens the database in o.Dir, or makes one. What a crash has interrupted is
// completed first.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.room == nil {
		o.room = roomIn
	}
	if o.Groups < 0 || o.Groups > maxGroups {
		return nil, fmt.Errorf("%w: %d groups; there can be 1 to %d", ErrInvalid, o.Groups, maxGroups)
	}
	s := &Store{
		opt: o, requests: make(chan *request, maxBatch), stop: make(chan struct{}), done: make(chan struct{}),
		rotateAt: maxLog, rolls: make(chan roll, maxRolls), schema: newSchema(), reading: map[uint64]int{},
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			s.cancel()
			err = errors.Join(err, s.release())
			if s.madeLog && s.dbs == nil {
				os.RemoveAll(s.logDir()) // nothing was opened: the directory may be anybody's
			}
		}
	}()
	if err := s.openDirs(ctx); err != nil {
		return nil, err
	}
	if err := s.recover(ctx); err != nil {
		return nil, err
	}
	go s.run()
	s.side.Go(s.rollUps)
	if err := s.addReserved(ctx); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

const maxGroups = 64

// Close commits what is under way and closes the database. Sources and views must be
// closed before; it waits for them.
func (s *Store) Close() error {
	if !s.end() {
		return nil
	}
	var err error
	if s.failed == nil {
		err = s.checkpoint()
	}
	return errors.Join(err, s.release())
}

// end lets the committer and its companions end. It reports whether this is the first
// time.
func (s *Store) end() bool {
	s.mu.Lock()
	first := s.ctx.Err() == nil
	if first {
		s.cancel()
		close(s.stop)
	}
	s.mu.Unlock()
	<-s.done
	s.side.Wait()
	return first
}

// release closes all files.
func (s *Store) release() error {
	var errs []error
	if s.dbs != nil {
		errs = append(errs, s.dbs.close())
	}
	if s.log != nil {
		errs = append(errs, s.log.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// A State tells how far a store has come.
type State struct {
	Groups []uint32
	MaxTs  uint64 // of the last commit or backup
	MaxUID uint64 // given out
	MaxNs  uint64
}

// State returns the present state.
func (s *Store) State() State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return State{Groups: s.dbs.groups(), MaxTs: s.ts, MaxUID: s.uid, MaxNs: s.ns}
}

// Failure says why nothing can be written until the next start; nil: it can.
func (s *Store) Failure() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failed
}

// SetDraining refuses writes, or allows them again.
func (s *Store) SetDraining(on bool) { s.draining.Store(on) }

// Draining reports whether writes are refused.
func (s *Store) Draining() bool { return s.draining.Load() }

// NewUIDs returns the first of n uids that nobody else gets.
func (s *Store) NewUIDs(n int) (first uint64, err error) {
	if n < 1 || n > maxUIDs {
		return 0, fmt.Errorf("%w: %d uids; 1 to %d can be had at once", ErrInvalid, n, maxUIDs)
	}
	s.mu.Lock()
	if s.uid <= s.leased && uint64(n) <= s.leased-s.uid {
		first, s.uid = s.uid+1, s.uid+uint64(n)
		s.mu.Unlock()
		return first, nil
	}
	s.mu.Unlock()
	err = s.exclusive(context.Background(), func() error { return s.lease(uint64(n)) })
	if err != nil {
		return 0, err
	}
	return s.NewUIDs(n)
}

const (
	maxUIDs  = 1 << 24
	uidLease = 100_000
)

// lease logs that uids are given out, many at once.
func (s *Store) lease(n uint64) error {
	s.mu.RLock()
	uid := s.uid
	s.mu.RUnlock()
	if uid > maxUID-n-uidLease {
		return errNoUIDs
	}
	want := uid + n + uidLease
	if err := s.write(&record{kind: recordTs, ts: s.ts, uid: want}); err != nil {
		return err
	}
	s.mu.Lock()
	s.leased = want
	s.mu.Unlock()
	return nil
}

var errNoUIDs = fmt.Errorf("%w: there are no more uids", ErrInvalid)

const (
	maxUID   = 1<<64 - 2
	maxGiven = maxUID - 1<<48 // in a mutation: there must be some left for new nodes
)
