// Package store is the host's own live database: a posting store in Dgraph's layout on
// Badger v3, which a Dgraph alpha can open and which opens what an alpha or a
// restore wrote.
package store

import (
	"context"
	"errors"
	"iter"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
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

	// ErrClosed means a store that is closed.
	ErrClosed = errors.New("the store is closed")
)

// Options say how a store is opened.
type Options struct {
	Dir           string // holds p1, p2, ..., or is one p directory; made if there is none
	EncryptionKey sdk.Secret
	Logger        hclog.Logger
	Groups        int  // of a new database, 1 if 0
	StrictSchema  bool // refuse @index, @reverse and @count, whose keys are not built
}

// A Store is an open database. Its methods may be used concurrently.
type Store struct{}

// Open opens the database in o.Dir, or makes one. What a crash has interrupted is
// completed first.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errors.ErrUnsupported }

// Close waits for what is under way.
func (s *Store) Close() error { return errors.ErrUnsupported }

// An Edge is one thing that a mutation sets or deletes.
type Edge struct {
	UID       uint64           // the node, not 0
	Predicate dgraph.Predicate // with Name "" only with Star: all that the node's types name
	Object    uint64           // an edge to this node; 0: a value
	Value     dgraph.Value     // is converted to the predicate's type
	Lang      string
	Star      bool // to delete: all of the predicate; with Lang only what is in that language
}

// A Mutation is one transaction: all of it is done or nothing. Deletes come first.
type Mutation struct {
	Del, Set []Edge
}

// Mutate commits m and returns its timestamp. When it returns, m is durable
// and visible.
func (s *Store) Mutate(ctx context.Context, m Mutation) (commitTs uint64, err error) {
	return 0, errors.ErrUnsupported
}

// NewUIDs returns the first of n uids that nobody else gets.
func (s *Store) NewUIDs(n int) (first uint64, err error) { return 0, errors.ErrUnsupported }

// Alter changes or adds predicates and types.
func (s *Store) Alter(ctx context.Context, predicates []dgraph.PredicateSchema, types []dgraph.TypeSchema) error {
	return errors.ErrUnsupported
}

// DropAll removes everything, and records it as DROP_ALL.
func (s *Store) DropAll(ctx context.Context) error { return errors.ErrUnsupported }

// DropData removes all data of a namespace; schema and types stay. It records DROP_DATA.
func (s *Store) DropData(ctx context.Context, namespace uint64) error { return errors.ErrUnsupported }

// DropAttr removes a predicate, data and schema, and records DROP_ATTR. There need be none.
func (s *Store) DropAttr(ctx context.Context, p dgraph.Predicate) error { return errors.ErrUnsupported }

// DropType removes a type. Dgraph records nothing: every backup holds all types.
func (s *Store) DropType(ctx context.Context, name dgraph.Predicate) error {
	return errors.ErrUnsupported
}

// DropNamespace removes a namespace, and records DROP_NS in namespace 0.
func (s *Store) DropNamespace(ctx context.Context, namespace uint64) error {
	return errors.ErrUnsupported
}

// Move gives a predicate to another group. All its keys get a new version there.
func (s *Store) Move(ctx context.Context, p dgraph.Predicate, group uint32) error {
	return errors.ErrUnsupported
}

// A PredicateState is a predicate and where it lives.
type PredicateState struct {
	dgraph.PredicateSchema
	Group uint32
}

// Schema returns all predicates, by namespace and name.
func (s *Store) Schema() []PredicateState { return nil }

// Types returns all types, by namespace and name.
func (s *Store) Types() []dgraph.TypeSchema { return nil }

// A State tells how far a store has come.
type State struct {
	Groups []uint32
	MaxTs  uint64 // of the last commit or backup
	MaxUID uint64 // given out
	MaxNs  uint64
}

// State returns the present state.
func (s *Store) State() State { return State{} }

// View opens the database as it is now, for reading.
func (s *Store) View() (*View, error) { return nil, errors.ErrUnsupported }

// ViewAt opens the database as it was at readTs. What was dropped since is not there.
func (s *Store) ViewAt(readTs uint64) (*View, error) { return nil, errors.ErrUnsupported }

// A View is the database at one timestamp.
type View struct{}

// Close must be called.
func (v *View) Close() {}

// ReadTs is the timestamp.
func (v *View) ReadTs() uint64 { return 0 }

// Postings returns the edges or values of p at a node, by uid; none if there are none.
func (v *View) Postings(p dgraph.Predicate, uid uint64) ([]dgraph.Posting, error) {
	return nil, errors.ErrUnsupported
}

// UIDs yields the nodes that have p, ascending.
func (v *View) UIDs(p dgraph.Predicate) iter.Seq2[uint64, error] { return nil }

// Source opens the database for a backup, at a new read timestamp. What is written or
// dropped from now on does not change what it shows. Close it.
func (s *Store) Source(ctx context.Context, o badgerdb.Options) (*badgerdb.Source, error) {
	return nil, errors.ErrUnsupported
}

// Replace puts another database in the place of this one. The function writes it to
// dir, as p1, p2, ..., every list at that version; until it returns, reads go on and
// writes fail with ErrDraining. An error leaves everything as it was. A backup that
// follows sees a DROP_ALL and all of the new data.
func (s *Store) Replace(ctx context.Context, restore func(ctx context.Context, dir string, version uint64) error) error {
	return errors.ErrUnsupported
}

// SetDraining refuses writes, or allows them again.
func (s *Store) SetDraining(on bool) {}

// Draining reports whether writes are refused.
func (s *Store) Draining() bool { return false }
