// Package host is Brock's engine: it backs up Badger databases and Dgraph
// postings to a [sdk.Destination], restores them, and proves that it can.
//
// A backup is a straight line:
//
//	Source.Read -> block encoders -> ordered writer -> Destination.Put
//
// for every group, then the commit record, which makes the backup exist, then
// the manifests that Dgraph itself reads. A restore is the same line backwards:
//
//	chain of manifests -> merge over the chain's files -> one Badger directory per group
//
// The order of the chain decides: what a later backup says of a key replaces
// everything that earlier ones said, whatever versions the entries carry.
//
// The formats live in packages manifest, backupfile and dgraph, which do no
// I/O; Badger directories are the business of package badgerdb.
//
// # Embedding
//
// A program that owns a Badger database backs it up while it goes on writing: a
// [badgerdb.OpenLive] of the open database is the source of an [Engine.Backup]; see the
// example. It calls [badgerdb.FinishDrop] after opening the database, and drops with
// [badgerdb.DropAll] and [badgerdb.DropPrefix], which record for later backups what Badger
// forgets, and leave a backup that is running what it shows. Times to live, user meta and
// deletes are kept. A source is closed before its database.
package host
