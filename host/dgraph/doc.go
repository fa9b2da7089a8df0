// Package dgraph is Dgraph's vocabulary: what its keys, posting lists, schema
// and type entries, and drop records look like in a Badger directory and in a
// backup, and how one becomes the other. It does no I/O.
//
// A database is a set of keys, each of one [KeyKind]. A DATA key holds the
// values or edges of one predicate at one uid; INDEX, REVERSE and COUNT keys
// are derived from them and are backed up all the same. The value of every such
// key is a posting list: a set of uids, some of which have a posting with
// a value, a language or facets. SCHEMA and TYPE keys hold one message each.
//
// # Keys
//
// In Badger, n being the length of the name (2 bytes) and all numbers big endian:
//
//	data           00 ns8 n name 00 uid8
//	index          00 ns8 n name 02 term
//	reverse        00 ns8 n name 04 uid8
//	count          00 ns8 n name 08 count4
//	count reverse  00 ns8 n name 0c count4
//	schema         01 ns8 n name
//	type           02 ns8 n name
//	part of a list 04 in place of 00, and the part's first uid8 at the end
//
// Dgraph 20.x, which knows no namespaces, leaves ns8 out ([LayoutV20]). In
// a backup the same facts are a protobuf message, pb.BackupKey.
//
// # Lists
//
// Badger holds several versions of a list: deltas (postings with an operation)
// above one complete list, whose uids are packed in blocks, and which is cut into
// parts when it is long. A [Roller] merges them into the one list that a backup
// holds, pb.BackupPostingList; a [Packer] turns that into what Badger stores.
// Postings are never interpreted to be moved: their bytes are copied.
//
// # Names
//
// A name belongs to a namespace. How both are written down depends on the
// version of Dgraph: see [Form].
package dgraph
