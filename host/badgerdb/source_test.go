package badgerdb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/options"

	"github.com/brock-backup/brock/sdk"
)

// A random history of sets, deletes, expiries and discards, in memtables, level 0, lower
// levels and value logs: what is read equals what Badger itself sees, from any since;
// what is written from it reads the same, by us and by Badger.
func TestRandomHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, c := range []struct {
		name        string
		key         []byte
		compression options.CompressionType
		compact     bool
	}{
		{"plain", nil, options.Snappy, false},
		{"compacted", nil, options.Snappy, true},
		{"uncompressed", nil, options.None, true},
		{"zstd", nil, options.ZSTD, true},
		{"AES-128", []byte("0123456789abcdef"), options.Snappy, true},
		{"AES-192", []byte("0123456789abcdef01234567"), options.None, false},
		{"AES-256", []byte("0123456789abcdef0123456789abcdef"), options.Snappy, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			opt := badgerOptions(dir).WithCompression(c.compression).WithEncryptionKey(c.key).WithIndexCacheSize(1 << 20).
				WithMemTableSize(1 << 20).WithBaseTableSize(256 << 10).WithValueThreshold(4 << 10).WithValueLogFileSize(1 << 20)
			last := history(t, rnd, opt, c.compact)
			for _, since := range []uint64{0, last / 3, last / 2, last - 1, last} {
				s := source(t, dir, Options{EncryptionKey: sdk.NewSecret(c.key)})
				if s.ReadTs() != last {
					t.Errorf("read timestamp %d, want %d", s.ReadTs(), last)
				}
				got := readAll(t, s, 1, since)
				s.Close()
				want := badgerSees(t, opt, since)
				same(t, fmt.Sprintf("since %d", since), got, want)
				if since == 0 {
					copyDir := write(t, got, WriterOptions{Kind: badgerKind.Kind, EncryptionKey: sdk.NewSecret(c.key)})
					same(t, "copy", readDir(t, copyDir, Options{EncryptionKey: sdk.NewSecret(c.key)}, 0), want)
				}
			}
		})
	}
}

// history writes a random history in several sessions, and returns its last version.
func history(t *testing.T, rnd *rand.Rand, opt badger.Options, compact bool) uint64 {
	t.Helper()
	version := uint64(0)
	for range 3 {
		db, err := badger.OpenManaged(opt)
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			version += 1 + rnd.Uint64N(3)
			var entries []*badger.Entry
			for range 1 + rnd.IntN(8) {
				key := fmt.Appendf(nil, "key-%03d-%x", rnd.IntN(300), rnd.IntN(3))
				n := rnd.IntN(400)
				if rnd.IntN(40) == 0 {
					n = 5000 + rnd.IntN(40000)
				}
				value := make([]byte, n)
				for i := range value {
					value[i] = byte('a' + rnd.IntN(8))
				}
				e := badger.NewEntry(key, value).WithMeta(byte(rnd.IntN(4)))
				switch rnd.IntN(12) {
				case 0:
					e.ExpiresAt = uint64(time.Now().Unix()) + 1_000_000
				case 1:
					e.ExpiresAt = 1_000_000 // long ago
				case 2:
					e.WithDiscard()
				}
				entries = append(entries, e)
			}
			set(t, db, version, entries...)
			if rnd.IntN(4) == 0 {
				remove(t, db, version+1, fmt.Appendf(nil, "key-%03d-%x", rnd.IntN(300), rnd.IntN(3)))
				version++
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if compact {
		db, err := badger.OpenManaged(opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Flatten(2); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return version
}

// The same version of a key, written again, counts as it was written last, wherever the
// others lie: Badger moves values like that when it collects a value log.
func TestSameVersionAgain(t *testing.T) {
	dir := t.TempDir()
	opt := badgerOptions(dir).WithValueThreshold(100).WithValueLogFileSize(1 << 20).WithNumVersionsToKeep(1)
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%03d", i) }
	for session := range 4 {
		db := open(t, opt)
		for i := range 50 {
			for range 1 + session%2 {
				set(t, db, 5, badger.NewEntry(key(i), bytes.Repeat([]byte{byte('a' + session)}, 10+i*20)))
			}
		}
		if session == 2 {
			if err := db.Flatten(1); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		got := readDir(t, dir, Options{}, 0)
		same(t, fmt.Sprintf("session %d", session), got, badgerSees(t, opt, 0))
		if got[0].Value[0] != byte('a'+session) {
			t.Errorf("session %d: %s", session, line(&got[0]))
		}
	}
	collected := 0
	for v := uint64(6); v < 12; v++ {
		db := open(t, opt)
		db.SetDiscardTs(v)
		for i := range 40 {
			set(t, db, v, badger.NewEntry(key(i), bytes.Repeat([]byte{byte('0' + v)}, 30_000)))
		}
		if err := db.Flatten(1); err != nil {
			t.Fatal(err)
		}
		for db.RunValueLogGC(0.01) == nil {
			collected++
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("version %d", v), readDir(t, dir, Options{}, 0), badgerSees(t, opt, 0))
	}
	if collected == 0 {
		t.Error("no value log was collected")
	}
}
