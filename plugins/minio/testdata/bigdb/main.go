// Command bigdb makes a Badger database of values that nothing makes smaller, or
// tells what is in one. It is not part of the tests themselves because Badger
// leaves goroutines behind.
//
//	bigdb fill DIR BYTES
//	bigdb digest DIR
package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/dgraph-io/badger/v3"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb, dir string, rest []string) error {
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithReadOnly(verb == "digest"))
	if err != nil {
		return err
	}
	defer db.Close()
	if verb == "digest" {
		return digest(db)
	}
	bytes, err := strconv.Atoi(rest[0])
	if err != nil {
		return err
	}
	return fill(db, bytes)
}

const valueSize = 100 << 10 // bytes

func fill(db *badger.DB, bytes int) error {
	batch := db.NewWriteBatch()
	noise := rand.NewChaCha8([32]byte{1})
	for i := range bytes / valueSize {
		value := make([]byte, valueSize)
		_, _ = noise.Read(value) // never fails
		if err := batch.Set(fmt.Appendf(nil, "key%04d", i), value); err != nil {
			return err
		}
	}
	return batch.Flush()
}

func digest(db *badger.DB) error {
	h, n := sha256.New(), 0
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
			h.Write(it.Item().Key())
			if err := it.Item().Value(func(v []byte) error { _, err := h.Write(v); return err }); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Printf("%d keys, %x\n", n, h.Sum(nil))
	return err
}
