package host

import (
	"context"
	"iter"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A Source is a database at one read timestamp. [badgerdb.Source] is one.
type Source interface {
	Contents
	Reader
}

// Contents say what a source holds.
type Contents interface {
	Kind() manifest.Kind
	ReadTs() uint64
	Groups() []uint32

	// GroupTs is the newest timestamp of the group, ReadTs at most. What is between
	// the two may still come: an incremental backup reads the group from there.
	GroupTs(group uint32) uint64

	// Predicates lists what the group owns, for the manifest.
	Predicates(group uint32) ([]dgraph.Predicate, error)
}

// A Reader reads a source.
type Reader interface {
	// Drops lists the drops recorded in a group after since. Each acts on every
	// older backup of the series, in all groups.
	Drops(ctx context.Context, group uint32, since uint64) ([]dgraph.Drop, []manifest.BadgerDrop, error)

	// Ranges cuts the group's keys into pieces, in key order.
	Ranges(group uint32, since uint64) ([]badgerdb.Range, error)

	// Read yields one range's entries that are newer than since, in key order.
	// Ranges may be read concurrently.
	Read(ctx context.Context, group uint32, r badgerdb.Range, since uint64, enc dgraph.ListEncoding, form dgraph.Form,
		emit func(sortKey []byte, e *backupfile.Entry) error) error

	// KeyStates yields the keys of a plain Badger database from from up to to, in order,
	// with what is known of each now and of what there was at since.
	KeyStates(ctx context.Context, group uint32, from, to []byte, since uint64) iter.Seq2[badgerdb.KeyState, error]

	// Damaged names the keys that could not be read and were left out, where
	// the source was opened to accept that.
	Damaged() []string
}

var _ Source = (*badgerdb.Source)(nil)
