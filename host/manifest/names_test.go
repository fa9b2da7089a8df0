package manifest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

func TestNames(t *testing.T) {
	m := Manifest{Series: "keen_leakey6", Number: 2, ReadTs: 126, Path: dir1}
	for got, want := range map[string]string{
		m.ID():                            "keen_leakey6/2",
		m.Object(1):                       dir1 + "/r126-g1.backup",
		m.Seal(10):                        dir1 + "/r126-g10.seal",
		RecordName(m.Series, m.Number):    "brock/keen_leakey6/2.json",
		RecordName("..", 1):               "brock/%2E./1.json",
		RecordName("../../etc", 1):        "brock/%2E.%2F..%2Fetc/1.json",
		RecordName("%2E", 1):              "brock/%252E/1.json",
		RecordName("a b\\c\x00ü", 1):      "brock/a%20b%5Cc%00%C3%BC/1.json",
		DirName(noon.Add(7_999_999)):      "dgraph.20261121.120000.007",
		DirName(noon.In(time.Local)):      "dgraph.20261121.120000.000",
		DirName(noon.Add(time.Hour * 13)): "dgraph.20261122.010000.000",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNewSeries(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+_[a-z]+[0-9]$`)
	seen := map[string]bool{}
	for range 1000 {
		s := NewSeries(rand.Reader)
		if !form.MatchString(s) || RecordName(s, 1) != "brock/"+s+"/1.json" {
			t.Fatalf("got %q", s)
		}
		seen[s] = true
	}
	if len(seen) < 900 {
		t.Errorf("1000 names are %d different ones", len(seen))
	}
	if got := NewSeries(bytes.NewReader([]byte{1, 2, 255, 0, 63, 249})); got != "airy_zenodotus9" {
		t.Errorf("got %s", got)
	}
	for _, list := range [][64]string{adjectives, surnames} {
		words := map[string]bool{}
		for _, w := range list {
			words[w] = true
		}
		if len(words) != 64 {
			t.Errorf("%d different words in %v", len(words), list)
		}
	}
}

func TestCompat(t *testing.T) {
	for s, want := range map[string]struct {
		form   dgraph.Form
		codec  string
		lists  dgraph.ListEncoding
		master bool
	}{
		"v20": {dgraph.FormV20, "gzip", dgraph.UIDs, false},
		"v21": {dgraph.FormV21, "snappy", dgraph.UIDBytes, true},
		"v23": {dgraph.FormV23, "snappy", dgraph.UIDBytes, true},
		"":    {dgraph.FormV23, "snappy", dgraph.UIDBytes, true},
	} {
		c, err := ParseCompat(s)
		if err != nil || c.Form() != want.form || c.DefaultCompression() != want.codec || c.ListEncoding() != want.lists || c.Master() != want.master {
			t.Errorf("%q: %s, %v", s, c, err)
		}
	}
	if _, err := ParseCompat("v22"); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "v23, v21 and v20") {
		t.Errorf("got %v", err)
	}
}
