package badgerdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3"
	"github.com/dgraph-io/badger/v3/options"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/sdk"
)

// filled makes a closed database of n keys of two versions, with tables at the last level.
func filled(t testing.TB, n, size int, key []byte) string {
	t.Helper()
	var entries []backupfile.Entry
	for i := range n {
		for v := uint64(2); v > 0; v-- {
			value := bytes.Repeat(fmt.Appendf(nil, "%d-%d ", i, v), size)
			entries = append(entries, backupfile.Entry{Key: fmt.Appendf(nil, "key-%06d", i), Value: value, Version: v})
		}
	}
	return write(t, entries, WriterOptions{Kind: badgerKind.Kind, EncryptionKey: sdk.NewSecret(key)})
}

// What is not a database that can be read is refused with a reason, and nothing is made.
func TestBadDirectories(t *testing.T) {
	root := t.TempDir()
	path := func(name string, manifest []byte) string {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if manifest != nil {
			if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), manifest, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	magic := func(v uint32) []byte { return binary.BigEndian.AppendUint32([]byte("Bdgr"), v) }
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(root, "missing")
	torn := append(magic(8), 0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8)
	for _, c := range []struct {
		dir  string
		kind error
		text string
	}{
		{missing, fs.ErrNotExist, missing},
		{file, ErrNotBadger, "a file"},
		{path("empty", nil), ErrNotBadger, "no MANIFEST"},
		{path("text", []byte("hello, world")), ErrNotBadger, "does not begin"},
		{path("short", []byte("Bd")), ErrNotBadger, "does not begin"},
		{path("v2", magic(7)), ErrVersion, "Dgraph 20.03"},
		{path("v2112", magic(1<<16|8)), ErrVersion, "21.12"},
		{path("future", magic(9)), ErrVersion, "0x9"},
		{path("torn", torn), ErrDamaged, "MANIFEST"},
	} {
		before := tree(t, root)
		_, err := OpenSource(map[uint32]string{1: c.dir}, Options{})
		wantError(t, err, c.kind, c.text, c.dir)
		_, err = FindGroups(c.dir)
		if !errors.Is(c.kind, ErrDamaged) && err == nil {
			t.Errorf("%s passes for a group", c.dir)
		}
		if after := tree(t, root); after != before {
			t.Errorf("%s: files are there that were not: %s", c.dir, after)
		}
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", missing, err)
	}
}

// Each way of a key not fitting has its own message.
func TestWrongKeys(t *testing.T) {
	key := []byte("0123456789abcdef")
	encrypted, plain := filled(t, 10, 1, key), filled(t, 10, 1, nil)
	for _, c := range []struct {
		dir  string
		key  []byte
		text string
	}{
		{encrypted, nil, "no key was given"},
		{encrypted, []byte("0123456789abcdeF"), "another key"},
		{encrypted, []byte("short"), "5 bytes"},
		{plain, key, "not encrypted"},
	} {
		_, err := OpenSource(map[uint32]string{1: c.dir}, Options{EncryptionKey: sdk.NewSecret(c.key)})
		wantError(t, err, ErrKey, c.text, c.dir)
	}
	if _, err := Create(filepath.Join(t.TempDir(), "p"), WriterOptions{EncryptionKey: sdk.NewSecret([]byte("short"))}); !errors.Is(err, ErrKey) {
		t.Errorf("Create with a short key: %v", err)
	}
	same(t, "encrypted", readDir(t, encrypted, Options{EncryptionKey: sdk.NewSecret(key)}, 0), readDir(t, plain, Options{}, 0))
}

// An empty database has a read timestamp and nothing else.
func TestEmptyDatabase(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, badgerOptions(dir)).Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, write(t, nil, badgerKind)} {
		s := source(t, dir, Options{})
		if got := readAll(t, s, 1, 0); len(got) != 0 || s.ReadTs() != 1 {
			t.Errorf("%d entries, read timestamp %d", len(got), s.ReadTs())
		}
	}
}

// A flipped bit anywhere in a table is an error, never another database. Where it is in a
// block the error names the keys; accepted, exactly these are left out, and named.
func TestFlippedBitInTable(t *testing.T) {
	for _, key := range [][]byte{nil, []byte("0123456789abcdef")} {
		dir := filled(t, 400, 40, key)
		want := readDir(t, dir, Options{EncryptionKey: sdk.NewSecret(key)}, 0)
		path := filepath.Join(dir, "000001.sst")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		inBlocks := 0
		for at := 0; at < len(good); at += len(good)/150 + 1 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenSource(map[uint32]string{1: dir}, Options{EncryptionKey: sdk.NewSecret(key)})
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("byte %d: %v", at, err)
				}
				continue
			}
			_, err = readErr(s, 1, 0)
			s.Close()
			wantError(t, err, ErrDamaged, "000001.sst block", "keys from")
			inBlocks++

			s = source(t, dir, Options{EncryptionKey: sdk.NewSecret(key), AcceptDamaged: true})
			got := readAll(t, s, 1, 0)
			if len(s.Damaged()) != 1 || len(got) >= len(want) || len(got) < len(want)/2 {
				t.Errorf("byte %d: %d of %d entries, damaged %q", at, len(got), len(want), s.Damaged())
			}
			s.Close()
		}
		if inBlocks < 100 {
			t.Errorf("only %d flips hit a block", inBlocks)
		}
		// Cut short anywhere, it is no table.
		for _, n := range []int{0, 1, 3, 4, 11, len(good) / 2, len(good) - 1} {
			if err := os.WriteFile(path, good[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenSource(map[uint32]string{1: dir}, Options{EncryptionKey: sdk.NewSecret(key)})
			wantError(t, err, ErrDamaged, path)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err = OpenSource(map[uint32]string{1: dir}, Options{EncryptionKey: sdk.NewSecret(key)})
		wantError(t, err, ErrDamaged, path, "missing")
	}
}

// Where the block that is lost held the newest versions, no older one takes their place.
func TestLostBlockHidesOlderVersions(t *testing.T) {
	dir := filled(t, 400, 10, nil)
	db := open(t, badgerOptions(dir))
	for i := range 400 {
		set(t, db, 3, badger.NewEntry(fmt.Appendf(nil, "key-%06d", i), []byte(strings.Repeat("new", 20))))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "000002.sst")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := source(t, dir, Options{AcceptDamaged: true})
	newest := map[string]uint64{}
	for _, e := range readAll(t, s, 1, 0) {
		newest[string(e.Key)] = max(newest[string(e.Key)], e.Version)
	}
	if len(newest) == 400 || len(newest) < 200 || len(s.Damaged()) != 1 {
		t.Errorf("%d keys are left, damaged: %q", len(newest), s.Damaged())
	}
	for k, v := range newest {
		if v != 3 {
			t.Errorf("%s is there with version %d", k, v)
		}
	}
}

// A flipped bit in a value log is an error that names the key; accepted, the key
// is left out, and no older version takes its place.
func TestFlippedBitInValueLog(t *testing.T) {
	for _, key := range [][]byte{nil, []byte("0123456789abcdef0123456789abcdef")} {
		dir := t.TempDir()
		opt := badgerOptions(dir).WithValueThreshold(64).WithEncryptionKey(key).WithIndexCacheSize(1 << 20)
		db := open(t, opt)
		for i := range 20 {
			k := fmt.Appendf(nil, "key-%02d", i)
			set(t, db, 1, badger.NewEntry(k, []byte("old")))
			set(t, db, 2, badger.NewEntry(k, bytes.Repeat([]byte{byte('a' + i)}, 500)))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		want := readDir(t, dir, Options{EncryptionKey: sdk.NewSecret(key)}, 0)
		path := filepath.Join(dir, "000001.vlog")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for at := logHeader; at < len(good); at += 53 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s := source(t, dir, Options{EncryptionKey: sdk.NewSecret(key)})
			_, err := readErr(s, 1, 0)
			s.Close()
			wantError(t, err, ErrDamaged, "000001.vlog")
			var d *DamagedError
			if !errors.As(err, &d) || len(d.Keys) != 1 {
				t.Fatalf("byte %d: %v", at, err)
			}
			s = source(t, dir, Options{EncryptionKey: sdk.NewSecret(key), AcceptDamaged: true})
			got := readAll(t, s, 1, 0)
			if len(got) != len(want)-2 || len(s.Damaged()) != 1 {
				t.Errorf("byte %d: %d of %d entries, damaged %q", at, len(got), len(want), s.Damaged())
			}
			s.Close()
			for i := range 20 {
				if k := fmt.Sprintf("key-%02d", i); strings.Contains(d.Keys[0], k) {
					named[k] = true
				}
			}
		}
		if len(named) != 20 {
			t.Errorf("%d keys were named, want 20", len(named))
		}
		for _, n := range []int{0, 10, len(good) / 2} {
			if err := os.WriteFile(path, good[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			s := source(t, dir, Options{EncryptionKey: sdk.NewSecret(key)})
			_, err := readErr(s, 1, 0)
			s.Close()
			wantError(t, err, ErrDamaged, "key-19")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err = readErr(source(t, dir, Options{EncryptionKey: sdk.NewSecret(key)}), 1, 0)
		wantError(t, err, ErrDamaged, "key-19", "missing")
	}
}

// Badger throws away what nobody can read any more: that is no damage.
func TestExpiredValueIsGone(t *testing.T) {
	dir := t.TempDir()
	db := open(t, badgerOptions(dir).WithValueThreshold(64))
	e := badger.NewEntry([]byte("k"), bytes.Repeat([]byte("x"), 500))
	e.ExpiresAt = 1000
	set(t, db, 5, e)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "000001.vlog")); err != nil {
		t.Fatal(err)
	}
	got := readDir(t, dir, Options{}, 0)
	same(t, "expired", got, []backupfile.Entry{{Key: []byte("k"), Value: nil, Version: 5, ExpiresAt: 1000}})
}

// Logs and blocks that lie about lengths cost neither memory nor the process.
func FuzzBlock(f *testing.F) {
	dir := filled(f, 40, 40, nil)
	data, err := os.ReadFile(filepath.Join(dir, "000001.sst"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:2000])
	f.Add(bytes.Repeat([]byte{255}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		var blk block
		var it item
		var buf []byte
		for c := range 2 {
			if blk.decode(b, &table{compression: options.CompressionType(c)}) != nil {
				continue
			}
			for i := range blk.n {
				buf, _ = blk.entry(i, &it, buf)
			}
		}
		if blk.parse(b) == nil {
			for i := range blk.n {
				buf, _ = blk.entry(i, &it, buf)
			}
		}
	})
}

func FuzzMemtable(f *testing.F) {
	dir := filled(f, 1, 1, nil)
	keys, err := openKeys(dir, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, 64))
	f.Add(append(make([]byte, logHeader), 0, 0, 9, 255, 255, 255, 255, 15, 0))
	path := filepath.Join(f.TempDir(), "00001.mem")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m, _, err := readMemtable(path, keys)
		if err == nil && m.maxVersion == math.MaxUint64 && len(m.items) == 0 {
			t.Error("a version without items")
		}
	})
}
