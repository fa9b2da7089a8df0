// Package badgerdb reads and writes Badger directories: the source of a backup
// and the target of a restore.
//
// # Reading
//
// A [Source] reads the files of a closed database itself: MANIFEST, tables (.sst),
// memtable logs (.mem) and value logs (.vlog), as Badger v3 and v4 write them. It
// opens no file for writing and creates none, so that a directory on a read-only
// snapshot will do, and what is not a Badger directory stays as it is. It does not go through
// Badger, because Badger hides damage: an iterator over a table with a bad block ends
// there without an error, a value that cannot be read comes back empty, and a
// truncated table ends the process. Here each of them is an error that names the
// keys.
//
// Everything is read at one read timestamp, whatever the number of ranges,
// goroutines and groups. A database in use by others is refused; so is one that was killed,
// until the caller agrees to read it as Badger would find it at its next start
// ([Options.ReadWrite]).
//
// # Reading a database in use
//
// [OpenLive] makes a source of databases of Badger v3 that this process has open and goes on
// writing to. It holds the tables and memtables that there are at one moment, by Badger's
// own references, so that neither a compaction nor a drop takes them away, and reads the
// files as it reads those of a closed database. Memtables are copied: their
// logs must go when they have become tables, for Badger reads all logs that it finds
// after a crash, and would bring back what has been compacted away or dropped since.
// Value logs stay while a source is open; only Badger's own DropAll empties them all the
// same, and what cannot be read then is reported as damage.
//
// # Kinds
//
// In Dgraph's directories each posting list is rolled up to one entry: stored deltas
// are applied to the list they change, and the parts of a long list are joined. In any
// other database each stored version is an entry.
//
// # Writing
//
// A [Writer] takes sorted entries and makes tables of the last level, without
// going through a memtable or a log. The MANIFEST is written last.
package badgerdb
