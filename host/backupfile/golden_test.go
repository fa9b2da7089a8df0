package backupfile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What was written once must stay readable. The files below testdata/v1 were
// written by the first version; a later form gets a folder of its own, and
// -golden writes only what is not there.
var writeGolden = flag.Bool("golden", false, "write the golden files that do not exist yet")

const goldenKeyCheck = "4f5fed018d5339bd"

var goldenFingerprints = []string{
	"4061b2af5ed274367b193fdcdacd18f2", "a9aa6c42bd2b115c5037e7115e181d15",
	"53337e7e5a7250cdca2bead7c7df2a79", "e2d1a5ddfd1d4b2c4f14498eecfc78c7",
}

func TestGolden(t *testing.T) {
	for _, c := range codecs {
		for _, key := range keys {
			for _, n := range []int{0, 25} {
				name := filepath.Join("testdata", "v1", fmt.Sprintf("%v-%d-%d", c, 8*len(key), n))
				if *writeGolden {
					create(t, name, c, key, n)
				}
				file, err := os.ReadFile(name + ".backup")
				if err != nil {
					t.Fatal(err)
				}
				stored, err := os.ReadFile(name + ".seal")
				if err != nil {
					t.Fatal(err)
				}
				if got, err := open(file, stored, key); got != n || err != nil {
					t.Errorf("%s: %d entries, %v", name, got, err)
				}
				if got, err := drain(NewReader(bytes.NewReader(file), key)); got != n || err != nil {
					t.Errorf("%s, without its seal: %d entries, %v", name, got, err)
				}
				s, err := ParseSeal(stored, key)
				if err != nil {
					t.Fatal(err)
				}
				sum := NewFingerprint(key)
				for i := range n {
					e := entry(i)
					sum.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
				}
				if s.Predicates["0-name"] != int64(n) || s.Fingerprint["0-name"] != sum.Sum() || s.Codec != c.String() ||
					s.Expect(Identity{"dgraph", 1, "brave_curie7", 2, 30}) != nil || s.Since != 20 || s.Engine != "0.1.0" {
					t.Errorf("%s: %+v", name, s)
				}
			}
		}
	}
}

// create writes a file in blocks of ten, and its seal, with an IV that is
// always the same.
func create(t *testing.T, name string, c Codec, key []byte, n int) {
	t.Helper()
	if _, err := os.Stat(name + ".backup"); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	var file bytes.Buffer
	w, err := newWriter(&file, c, key, bytes.NewReader([]byte("sixteen IV bytes")))
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, w, c, n, 10)
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	sum := NewFingerprint(key)
	for i := range n {
		e := entry(i)
		sum.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
	}
	s := &Seal{
		Kind: "dgraph", Group: 1, Series: "brave_curie7", Number: 2, Since: 20, ReadTs: 30, Engine: "0.1.0", Codec: c.String(), File: info,
		Predicates:  map[string]int64{"0-name": int64(n)},
		Fingerprint: map[string][16]byte{"0-name": sum.Sum()},
	}
	stored, err := s.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	for ext, b := range map[string][]byte{".backup": file.Bytes(), ".seal": stored} {
		if err := os.WriteFile(name+ext, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
