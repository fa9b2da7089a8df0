// Package store is the host's own live database: posting lists in Dgraph's layout on
// Badger v3, which a Dgraph alpha can open, and which opens what an alpha or a restore
// has written.
//
// # Order
//
// One goroutine, the committer, gives every change its place: a commit timestamp. What
// arrives while it is busy is committed together, with one fsync. Everything that must not
// be overtaken (a drop, the read timestamp of a backup) runs between two such batches.
//
// # Durability
//
// A change is written to a log first, and then to Badger, which syncs nothing itself. At the
// start the log is applied again; all that it says can be done twice. The log is begun
// anew when Badger's own files have been synced (see checkpoint).
//
// # Drops
//
// A drop takes its keys physically, as Dgraph does, and leaves one node under
// dgraph.drop.op that tells backups of it. Both are one record of the log: a crash between
// the two is repaired at the start.
//
// # On disk
//
//	DIR/p1, DIR/p2, ...   Badger directories, one for each group; DIR/p or DIR itself if there is but one
//	DIR/brock-log/N.log   the log: records, each with its length and CRC32C
//	DIR/brock-log/state   what outlives the log: timestamps and uids given out
package store
