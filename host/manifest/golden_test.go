package manifest

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

var update = flag.Bool("update", false, "rewrite the golden commit records")

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// preds reads names in form V23.
func preds(names ...string) []dgraph.Predicate {
	ps := make([]dgraph.Predicate, len(names))
	for i, n := range names {
		var err error
		if ps[i], err = dgraph.ParsePredicate(dgraph.FormV23, n); err != nil {
			panic(err)
		}
	}
	return ps
}

func attr(name string) dgraph.Drop {
	return dgraph.Drop{Kind: dgraph.DropAttr, Predicate: preds(name)[0]}
}

func in(k dgraph.DropKind, ns uint64) dgraph.Drop {
	return dgraph.Drop{Kind: k, Predicate: dgraph.Predicate{Namespace: ns}}
}

var (
	dropAll  = dgraph.Drop{Kind: dgraph.DropAll}
	dropData = dgraph.Drop{Kind: dgraph.DropData, WholeCluster: true}
)

type groups = map[uint32][]dgraph.Predicate

// made is what a manifest of Dgraph's tells in any case.
func made(m Manifest) Manifest {
	m.Kind, m.Published = KindDgraph, true
	return m
}

const (
	dir1 = "dgraph.20261121.041813.437"
	dir2 = "dgraph.20261121.041913.437"
)

// Manifests of one backup, in every form that 20.x wrote.
var singles = map[string]Manifest{
	"v20.03-full.json": {
		Series: "merry_tester1", Number: 1, ReadTs: 22, Full: true,
		Groups: groups{1: preds("0-age", "0-name"), 2: {}},
	},
	"v20.07-full.json": {
		Series: "merry_tester1", Number: 1, ReadTs: 22, Full: true, Encrypted: true,
		Groups: groups{1: preds("0-name")},
	},
	"v20.11-full.json": {
		Series: "merry_tester1", Number: 1, ReadTs: 22, Full: true,
		Groups: groups{1: preds("0-age", "0-dgraph.type", "0-name"), 2: {}},
	},
	"v20-indented.json": {
		Series: "merry_tester1", Number: 1, ReadTs: 22, Full: true,
		Groups: groups{1: preds("0-age", "0-name"), 2: {}},
	},
	"v20.11-drops.json": {
		Series: "merry_tester1", Number: 2, ReadTs: 60, Encrypted: true,
		Groups: groups{1: preds("0-name"), 2: preds("0-a<b", "0-straße"), 10: {}},
		Drops:  []dgraph.Drop{dropAll, dropData, attr("0-age")},
	},
}

func TestParseSingle(t *testing.T) {
	for name, want := range singles {
		want = made(want)
		want.Path, want.Compression, want.Single = dir1, "gzip", true
		got, err := ParseSingle(dir1, golden(t, name))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// Master manifests in every form and order of keys.
var masters = map[string][]Manifest{
	"v21.json": {
		{
			Series: "merry_tester2", Number: 1, ReadTs: 14, Full: true, Path: dir1, Compression: "snappy", Form: dgraph.FormV21,
			Groups: groups{1: preds("0-age", "2-name"), 2: {}},
		},
		{
			Series: "merry_tester2", Number: 2, Since: 14, ReadTs: 20, Path: dir2, Compression: "snappy", Form: dgraph.FormV21,
			Groups: groups{1: preds("0-name")},
			Drops:  []dgraph.Drop{dropData, attr("0-age"), in(dgraph.DropNamespace, 2)},
		},
	},
	"v23.json": {{
		Series: "merry_tester3", Number: 1, ReadTs: 8, Full: true, Path: dir1, Compression: "snappy", Encrypted: true, Form: dgraph.FormV23,
		Groups: groups{1: preds("0-age", "1f-name")},
	}},
	"v25.json": {
		{
			Series: "merry_tester4", Number: 1, ReadTs: 8, Full: true, Path: dir1, Compression: "snappy", Form: dgraph.FormV23,
			Groups: groups{1: preds("0-age", "1f-name"), 2: {}},
		},
		{
			Series: "merry_tester4", Number: 2, Since: 8, ReadTs: 126, Path: dir2, Compression: "snappy", Form: dgraph.FormV23,
			Groups: groups{1: preds("0-a-b"), 2: {}, 10: preds("0-x")},
			Drops: []dgraph.Drop{
				dropAll, dropData, in(dgraph.DropData, 0x1f), attr("1f-name"), in(dgraph.DropNamespace, 0x1f),
			},
		},
	},
	"v25-summary.json": {{
		Series: "merry_tester4", Number: 1, ReadTs: 8, Full: true, Path: dir1, Compression: "snappy", Form: dgraph.FormV23,
		Groups: groups{},
	}},
	"mixed.json": {
		{
			Series: "merry_tester5", Number: 1, ReadTs: 22, Full: true, Path: "dgraph.20201125.173944.587", Compression: "gzip",
			Groups: groups{1: preds("0-age", "0-name")},
		},
		{
			Series: "merry_tester5", Number: 2, Since: 22, ReadTs: 30, Path: "dgraph.20210301.120000.000",
			Compression: "snappy", Form: dgraph.FormV21,
			Groups: groups{1: preds("0-age", "0-name")}, Drops: []dgraph.Drop{attr("0-age")},
		},
		{
			Series: "merry_tester5", Number: 3, Since: 30, ReadTs: 41, Path: dir1, Compression: "gzip", Form: dgraph.FormV23,
			Groups: groups{1: preds("0-name")},
		},
	},
}

func TestParseMaster(t *testing.T) {
	for name, want := range masters {
		got, err := ParseMaster(golden(t, name))
		for i := range want {
			want[i] = made(want[i])
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// What was read from bytes of the form that Brock writes is written as the same bytes.
func TestEncodeGoldenBytes(t *testing.T) {
	for _, name := range []string{"v20.11-full.json", "v20.11-drops.json"} {
		m, err := ParseSingle(dir1, golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := EncodeSingle(&m); err != nil || string(got) != string(golden(t, name)) {
			t.Errorf("%s:\ngot  %s%v\nwant %s", name, got, err, golden(t, name))
		}
	}
	for _, name := range []string{"v21.json", "v25.json"} {
		ms, err := ParseMaster(golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendMaster(nil, &ms[0], &ms[1]); err != nil || string(got) != string(golden(t, name)) {
			t.Errorf("%s:\ngot  %s%v\nwant %s", name, got, err, golden(t, name))
		}
	}
}

// A location that is one backup's directory has that backup's manifest in its root.
func TestSingleInTheRoot(t *testing.T) {
	ms, err := ParseMaster(golden(t, "v20.11-full.json"))
	if err != nil || len(ms) != 1 || !ms[0].Single || ms[0].Path != "" {
		t.Fatalf("got %+v, %v", ms, err)
	}
	if got := ms[0].Object(2); got != "r22-g2.backup" {
		t.Errorf("its file is %s", got)
	}
	if _, err := AppendMaster(golden(t, "v20.11-full.json"), &masters["v25.json"][0]); err == nil {
		t.Error("a master manifest replaced the backup's own")
	}
}

// A master manifest below the location is that of another location.
func TestNestedMaster(t *testing.T) {
	if _, err := ParseSingle("other", golden(t, "v25.json")); !errors.Is(err, ErrNested) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedNamespace(t *testing.T) {
	_, err := ParseMaster(golden(t, "v21-damaged-namespace.json"))
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "entry 1: groups: 1:") ||
		!strings.Contains(err.Error(), "damaged by JSON") {
		t.Errorf("got %v", err)
	}
}

// Commit records of both kinds.
var records = map[string]Manifest{
	"record-dgraph.json": {
		Series: "patient_dewey7", Number: 2, Since: 8, ReadTs: 126, Path: dir1, Encrypted: true,
		Compression: "snappy", Form: dgraph.FormV21, Kind: KindDgraph,
		Groups: groups{1: preds("0-age", "0-name"), 2: {}},
		Drops:  []dgraph.Drop{dropAll, dropData, attr("0-age"), in(dgraph.DropNamespace, 3)},
		Record: &Record{
			Format: 1, Engine: "0.1.0", Created: time.Date(2026, 11, 21, 4, 18, 13, 437e6, time.UTC), Compat: "v21",
			Objects: []Object{
				object(1, dir1+"/r126-g1"), object(2, dir1+"/r126-g2"),
			},
			KeyProvider: "keyfile", KeyCheck: "00d1e2f3a4b5c697",
			Wrapped: &WrappedKey{KeyID: "transit/brock:3", Ciphertext: []byte{0, 1, 0xff}, AAD: "abc"},
			Damaged: dir1 + "/damaged.txt",
		},
	},
	"record-badger.json": {
		Series: "quiet_otlet0", Number: 1, ReadTs: 7, Full: true, Path: dir2, Compression: "zstd", Form: dgraph.FormV23,
		Kind: KindBadger, Groups: groups{1: {}},
		Record: &Record{
			Format: 1, Engine: "0.1.0", Created: time.Date(2026, 11, 21, 4, 18, 13, 0, time.UTC), Compat: "v23",
			Objects:     []Object{object(1, dir2+"/r7-g1")},
			BadgerDrops: []BadgerDrop{{All: true}, {Prefix: []byte("a\x00")}},
		},
	},
}

func object(group uint32, name string) Object {
	return Object{
		Group: group, Name: name + ".backup", Size: 123, SHA256: strings.Repeat("0f", 32),
		Seal: name + ".seal", SealSHA256: strings.Repeat("a0", 32),
	}
}

func TestRecord(t *testing.T) {
	for name, want := range records {
		data, err := EncodeRecord(&want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if string(data) != string(golden(t, name)) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, data, golden(t, name))
		}
		got, err := ParseRecord(data)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// A commit record and the manifest made from it agree, in every form.
func TestPublishedRecordAgrees(t *testing.T) {
	for _, c := range []Compat{CompatV20, CompatV21, CompatV23} {
		m := records["record-dgraph.json"]
		m.Form, m.Compression = c.Form(), c.DefaultCompression()
		if !c.Master() {
			m.Drops = m.Drops[:3] // no namespaces
		}
		rec := *m.Record
		rec.Compat = string(c)
		m.Record = &rec
		if _, err := EncodeRecord(&m); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		var published []Manifest
		if c.Master() {
			data, err := AppendMaster(nil, &m)
			if err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			if published, err = ParseMaster(data); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
		} else {
			data, err := EncodeSingle(&m)
			if err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			single, err := ParseSingle(m.Path, data)
			if err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			published = []Manifest{single}
		}
		got, err := Merge(published, []Manifest{m})
		if err != nil || len(got) != 1 || !got[0].Published || got[0].Record == nil || got[0].Since != 8 {
			t.Errorf("%s: got %+v, %v", c, got, err)
		}
	}
}
