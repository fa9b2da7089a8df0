package dgraph

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"github.com/klauspost/compress/s2"
)

// Real backups that every clone of the repository has.
var smallSets = []string{
	"v20.11-plain", "v20.11-drops", "v20.11-encrypted-24",
	"v21.03-plain", "v21.03-groups",
	"v25-plain", "v25-drops", "v25-groups", "v25-encrypted-32", "v25-resurrect",
}

// Real backups that are not in the repository.
var otherSets = []string{"upstream-v20.11-three-groups", "upstream-v20.11-drops", "upstream-v21.03-acl", "v25-large"}

// fixture returns the folder of a set. One that is not in the repository is looked for
// in BROCK_FIXTURES; without it the test is skipped, but never in CI.
func fixture(t testing.TB, set string) string {
	t.Helper()
	roots := []string{"../testdata/fixtures", "../../../shared/fixtures"}
	if env := os.Getenv("BROCK_FIXTURES"); env != "" {
		roots[1] = env
	}
	for _, root := range roots {
		dir := filepath.Join(root, set)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	small := false
	for _, s := range smallSets {
		small = small || s == set
	}
	if small || os.Getenv("CI") == "true" {
		t.Fatalf("fixture %s is in none of %v", set, roots)
	}
	t.Skipf("fixture %s is in none of %v; set BROCK_FIXTURES", set, roots)
	return ""
}

// setForm is the form in which a set's schema and type values write names.
func setForm(set string) Form {
	switch {
	case strings.Contains(set, "v20"):
		return FormV20
	case strings.Contains(set, "v21"):
		return FormV21
	}
	return FormV23
}

// eachEntry calls do with every entry of every backup file of a set.
func eachEntry(t testing.TB, set string, do func(file string, kv *pb.KV)) {
	t.Helper()
	dir := fixture(t, set)
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".backup") {
			return err
		}
		files++
		return eachKV(path, key, func(kv *pb.KV) { do(path, kv) })
	})
	if err != nil || files == 0 {
		t.Fatalf("%s: %d files, %v", set, files, err)
	}
}

func eachKV(path string, key []byte, do func(*pb.KV)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var r io.Reader = bufio.NewReader(file)
	if len(key) > 0 {
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		iv := make([]byte, aes.BlockSize)
		if _, err := io.ReadFull(r, iv); err != nil {
			return err
		}
		r = bufio.NewReader(&cipher.StreamReader{S: cipher.NewCTR(block, iv), R: r})
	}
	magic, err := r.(*bufio.Reader).Peek(2)
	if err != nil {
		return err
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(r); err != nil {
			return err
		}
	} else {
		r = s2.NewReader(r)
	}
	for {
		var n [8]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		frame := make([]byte, binary.LittleEndian.Uint64(n[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		var list pb.KVList
		if err := list.Unmarshal(frame); err != nil {
			return err
		}
		for _, kv := range list.Kv {
			do(kv)
		}
	}
}
