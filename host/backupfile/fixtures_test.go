package backupfile

import (
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"github.com/klauspost/compress/s2"
)

// Real backups that every clone has, and those that are too large for it.
var (
	ownSets    = []string{"v20.11-plain", "v20.11-drops", "v20.11-encrypted-24", "v21.03-plain", "v21.03-groups", "v25-plain", "v25-drops", "v25-groups", "v25-encrypted-32", "v25-resurrect"}
	sharedSets = []string{"upstream-v20.11-three-groups", "upstream-v20.11-drops", "upstream-v21.03-acl", "v25-large"}
)

// fixture returns the folder of a set.
func fixture(t testing.TB, set string, own bool) string {
	t.Helper()
	shared := os.Getenv("BROCK_FIXTURES")
	if shared == "" {
		shared = "../../../shared/fixtures"
	}
	roots := []string{"../testdata/fixtures", shared}
	for _, root := range roots {
		if dir := filepath.Join(root, set); exists(dir) {
			return dir
		}
	}
	if own || os.Getenv("CI") == "true" {
		t.Fatalf("set %s is in none of %q", set, roots)
	}
	t.Skipf("set %s is in none of %q; BROCK_FIXTURES says where to look", set, roots)
	return ""
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// A sample is one backup file of a set and the key of the set.
type sample struct {
	name string
	key  []byte
}

func samples(t testing.TB, dir string) []sample {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var all []sample
	err = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if filepath.Ext(name) == ".backup" {
			all = append(all, sample{name, key})
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d backup files in %s, %v", len(all), dir, err)
	}
	return all
}

// Every file of a real server is read as Badger's own types read it, with the
// readers that Dgraph uses.
func TestRealBackups(t *testing.T) {
	check := func(set string, own bool) {
		t.Run(set, func(t *testing.T) {
			for _, s := range samples(t, fixture(t, set, own)) {
				if n := sameAsBadger(t, s); n < 1 {
					t.Errorf("%s: %d entries", s.name, n)
				}
			}
		})
	}
	for _, set := range ownSets {
		check(set, true)
	}
	for _, set := range sharedSets {
		check(set, false)
	}
}

func sameAsBadger(t *testing.T, s sample) int {
	t.Helper()
	file, err := os.Open(s.name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := NewReader(file, s.key)
	n := 0
	for kv, err := range badgerEntries(s) {
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		var got Entry
		if err := r.Next(&got); err != nil {
			t.Fatalf("%s, entry %d: %v", s.name, n, err)
		}
		want := Entry{Key: kv.Key, Value: kv.Value, Version: kv.Version, ExpiresAt: kv.ExpiresAt}
		if len(kv.UserMeta) == 1 {
			want.UserMeta = kv.UserMeta[0]
		}
		if !same(&got, &want) || len(kv.UserMeta) > 1 || len(kv.Meta) > 0 {
			t.Fatalf("%s, entry %d is %+v, want %v", s.name, n, got, kv)
		}
		n++
	}
	if err := r.Next(new(Entry)); !errors.Is(err, io.EOF) {
		t.Errorf("%s: after %d entries %v", s.name, n, err)
	}
	return n
}

// badgerEntries reads a file with nothing of this package.
func badgerEntries(s sample) func(yield func(*pb.KV, error) bool) {
	return func(yield func(*pb.KV, error) bool) {
		b, err := os.ReadFile(s.name)
		if err != nil {
			yield(nil, err)
			return
		}
		if len(s.key) > 0 {
			block, err := aes.NewCipher(s.key)
			if err != nil {
				yield(nil, err)
				return
			}
			iv := b[:16]
			b = b[16:]
			cipher.NewCTR(block, iv).XORKeyStream(b, b)
		}
		var r io.Reader = s2.NewReader(bytes.NewReader(b))
		if b[0] == 0x1f {
			if r, err = stdgzip.NewReader(bytes.NewReader(b)); err != nil {
				yield(nil, err)
				return
			}
		}
		r = bufio.NewReader(r)
		for {
			var length uint64
			if err := binary.Read(r, binary.LittleEndian, &length); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				yield(nil, err)
				return
			}
			frame := make([]byte, length)
			if _, err := io.ReadFull(r, frame); err != nil {
				yield(nil, err)
				return
			}
			var l pb.KVList
			if err := l.Unmarshal(frame); err != nil {
				yield(nil, err)
				return
			}
			for _, kv := range l.Kv {
				if !yield(kv, nil) {
					return
				}
			}
		}
	}
}

// A real file, encrypted and cut: an error wherever the cut is not at a frame
// border between two chunks, and never more entries than there are.
func TestRealBackupsCut(t *testing.T) {
	for _, set := range []string{"v20.11-encrypted-24", "v21.03-plain", "v25-encrypted-32"} {
		for _, s := range samples(t, fixture(t, set, true)) {
			whole, err := os.ReadFile(s.name)
			if err != nil {
				t.Fatal(err)
			}
			total := count(t, whole, s.key, nil)
			for n := 0; n < len(whole); n += 1 + len(whole)/500 {
				if got := count(t, whole[:n], s.key, ErrTruncated); got > total {
					t.Errorf("%s cut at %d: %d of %d entries", s.name, n, got, total)
				}
			}
			if len(s.key) > 0 {
				if got := count(t, whole, nil, ErrWrongKey); got != 0 {
					t.Errorf("%s without its key: %d entries", s.name, got)
				}
			}
		}
	}
}

// count reads a file to its end, which is want or, for one that was cut, where
// the format cannot show it.
func count(t *testing.T, file, key []byte, want error) int {
	t.Helper()
	r := NewReader(bytes.NewReader(file), key)
	for n := 0; ; n++ {
		err := r.Next(new(Entry))
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF) && !errors.Is(want, ErrWrongKey), want != nil && errors.Is(err, want):
		case len(key) > 0 && len(file) < ivSize+longestMagic && errors.Is(err, ErrWrongKey):
		default:
			t.Errorf("%d bytes: %v, want %v", len(file), err, want)
		}
		return n
	}
}
