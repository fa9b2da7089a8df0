package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v3"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/plugindir"
)

// backUp backs up a Badger database that this program goes on using.
func backUp(ctx context.Context, db *badger.DB, plugins *plugindir.Dirs, uri string) (*host.BackupResult, error) {
	to, err := plugins.OpenDestination(ctx, uri, nil)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	src, err := badgerdb.OpenLive(map[uint32]*badger.DB{1: db}, badgerdb.Options{})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return new(host.Engine).Backup(ctx, host.BackupRequest{Source: src, To: host.Location{URI: to.URI, Destination: to.Destination}})
}

// A program that owns a Badger database backs it up while it writes to it. What it drops,
// it drops with badgerdb, so that backups tell of it; and when it opens the database, it
// first has badgerdb finish a drop that a crash cut short.
func Example_embedding() {
	ctx := context.Background()
	tmp, plugins := exampleDirs()
	defer os.RemoveAll(tmp)
	defer plugins.Close()
	backups := filepath.Join(tmp, "backups")

	db, err := badger.Open(badger.DefaultOptions(filepath.Join(tmp, "db")).WithLogger(nil))
	check(err)
	defer db.Close()
	check(badgerdb.FinishDrop(db))

	set(db, badger.NewEntry([]byte("user/ann"), []byte("Ann")).WithMeta(7))
	set(db, badger.NewEntry([]byte("session/1"), []byte("ann")).WithTTL(time.Hour))
	set(db, badger.NewEntry([]byte("cache/1"), []byte("...")))
	full, err := backUp(ctx, db, plugins, backups)
	check(err)

	check(badgerdb.DropPrefix(db, []byte("cache/")))
	set(db, badger.NewEntry([]byte("user/bob"), []byte("Bob")))
	incremental, err := backUp(ctx, db, plugins, backups)
	check(err)
	fmt.Println("backups:", full.Manifest.Number, incremental.Manifest.Number)

	from, err := plugins.OpenDestination(ctx, backups, nil)
	check(err)
	defer from.Close()
	restored := filepath.Join(tmp, "restored")
	_, err = new(host.Engine).Restore(ctx, host.RestoreRequest{From: host.Location{URI: from.URI, Destination: from.Destination}, Postings: restored})
	check(err)
	show(restored)

	// Output:
	// backups: 1 2
	// session/1 = ann, user meta 0, lives for a time: true
	// user/ann = Ann, user meta 7, lives for a time: false
	// user/bob = Bob, user meta 0, lives for a time: false
}

func set(db *badger.DB, e *badger.Entry) {
	check(db.Update(func(txn *badger.Txn) error { return txn.SetEntry(e) }))
}

// show prints what a database holds.
func show(dir string) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	check(err)
	defer db.Close()
	check(db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			value, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			fmt.Printf("%s = %s, user meta %d, lives for a time: %t\n", item.Key(), value, item.UserMeta(), item.ExpiresAt() != 0)
		}
		return nil
	}))
}

// exampleDirs makes a directory, and in it one with the plugin for directories.
func exampleDirs() (tmp string, plugins *plugindir.Dirs) {
	tmp, err := os.MkdirTemp("", "brock-example-*")
	check(err)
	dir := filepath.Join(tmp, "plugins")
	check(os.Mkdir(dir, 0o700))
	check(exec.Command("go", "build", "-o", filepath.Join(dir, "brock-destination-nfs"), "../plugins/nfs").Run())
	return tmp, plugindir.New([]string{dir}, plugindir.Options{})
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
