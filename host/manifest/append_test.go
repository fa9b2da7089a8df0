package manifest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
)

// Whatever a master manifest looks like, its bytes stay, and the new backup is the last.
func TestAppendMasterKeepsOldBytes(t *testing.T) {
	m := records["record-dgraph.json"]
	for name, old := range map[string]string{
		"v21":      string(golden(t, "v21.json")),
		"v23":      string(golden(t, "v23.json")),
		"v25":      string(golden(t, "v25.json")),
		"mixed":    string(golden(t, "mixed.json")),
		"indented": "{\n  \"Later\": [1, {\"a\": null}],\n  \"Manifests\": [\n    " + entryOf("a", 1, "d1") + "\n  ],\n \"More\": 1 }\n\n",
		"unknown":  `{"Manifests":[` + strings.Replace(entryOf("a", 1, "d1"), "{", `{"of_tomorrow":{"x":[]},`, 1) + `]}`,
	} {
		m := m
		m.Path = "dgraph.20300101.000000.000"
		got, err := AppendMaster([]byte(old), &m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		added, _ := m.encodeEntry()
		before, after, ok := bytes.Cut(got, append([]byte{','}, added...))
		if !ok || string(before)+string(after) != old {
			t.Errorf("%s: got %s\nof old %s", name, got, old)
		}
		was, _ := ParseMaster([]byte(old))
		is, err := ParseMaster(got)
		if err != nil || len(is) != len(was)+1 || is[len(was)].ID() != m.ID() {
			t.Errorf("%s: %d backups became %d, %v", name, len(was), len(is), err)
		}
		again, err := AppendMaster(got, &m)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: a second time: %s, %v", name, again, err)
		}
	}
}

func entryOf(series string, number int, path string) string {
	m := of(series, number, 10*uint64(number))
	m.Path = path
	data, err := m.encodeEntry()
	if err != nil {
		panic(err)
	}
	return string(data)
}

// of is a backup made by Dgraph 23.
func of(series string, number int, readTs uint64) Manifest {
	return Manifest{
		Series: series, Number: number, ReadTs: readTs, Full: number == 1, Path: series + "-" + string(rune('0'+number)),
		Groups: groups{1: preds("0-name")}, Compression: "snappy", Form: dgraph.FormV23, Kind: KindDgraph, Published: true,
	}
}

// An empty master is what Dgraph leaves when its only backup was removed by hand.
func TestAppendToEmptyMaster(t *testing.T) {
	m := of("a", 1, 10)
	want := `{"Manifests":[` + entryOf("a", 1, "a-1") + `]}`
	for _, old := range []string{`{"Manifests":[]}`, `{"Manifests":null}`} {
		got, err := AppendMaster([]byte(old), &m)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v", old, got, err)
		}
	}
	got, err := AppendMaster([]byte(`{"Manifests": [ ] }`), &m)
	if ms, perr := ParseMaster(got); err != nil || perr != nil || len(ms) != 1 {
		t.Errorf("got %s, %v, %v", got, err, perr)
	}
	if got, err := AppendMaster(nil); string(got) != `{"Manifests":[]}`+"\n" || err != nil {
		t.Errorf("nothing to nothing: %s, %v", got, err)
	}
}

func TestAppendMasterRefuses(t *testing.T) {
	old := []byte(`{"Manifests":[` + entryOf("a", 1, "a-1") + "," + entryOf("a", 2, "a-2") + `]}`)
	change := func(f func(*Manifest)) *Manifest {
		m := of("a", 3, 30)
		f(&m)
		return &m
	}
	for name, c := range map[string]struct {
		old  []byte
		m    *Manifest
		kind error
	}{
		"nothing where a master was":  {[]byte{}, change(func(*Manifest) {}), ErrCorrupt},
		"half a master":               {old[:len(old)-2], change(func(*Manifest) {}), ErrCorrupt},
		"a number of two writers":     {old, change(func(m *Manifest) { m.Number = 2 }), ErrCorrupt},
		"a directory of two backups":  {old, change(func(m *Manifest) { m.Path = "a-2" }), ErrCorrupt},
		"another state of the backup": {old, change(func(m *Manifest) { m.Number, m.ReadTs, m.Path = 2, 21, "a-2" }), ErrCorrupt},
		"data of another kind":        {old, change(func(m *Manifest) { m.Kind = KindBadger }), ErrUnfit},
		"a path that leads out":       {old, change(func(m *Manifest) { m.Path = "../x" }), ErrUnfit},
		"no directory":                {old, change(func(m *Manifest) { m.Path = "" }), ErrUnfit},
		"a name that JSON damages": {old, change(func(m *Manifest) {
			m.Groups = groups{1: {{Name: "a\xff"}}}
		}), ErrUnfit},
		"a namespace that JSON damages": {old, change(func(m *Manifest) {
			m.Form, m.Groups = dgraph.FormV21, groups{1: preds("80-x")}
		}), ErrUnfit},
		"a drop of one namespace's data in v21": {old, change(func(m *Manifest) {
			m.Form, m.Groups, m.Drops = dgraph.FormV21, groups{1: preds("0-x", "1-x")}, []dgraph.Drop{in(dgraph.DropData, 1)}
		}), ErrUnfit},
	} {
		if got, err := AppendMaster(c.old, c.m); !errors.Is(err, c.kind) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestEncodeSingleRefuses(t *testing.T) {
	good := singles["v20.11-drops.json"]
	good.Kind, good.Compression, good.Path = KindDgraph, "gzip", dir1
	if _, err := EncodeSingle(&good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"snappy":                    func(m *Manifest) { m.Compression = "snappy" },
		"a namespace":               func(m *Manifest) { m.Groups = groups{1: preds("1-x")} },
		"a drop in a namespace":     func(m *Manifest) { m.Drops = []dgraph.Drop{attr("1-x")} },
		"a drop of a namespace":     func(m *Manifest) { m.Drops = []dgraph.Drop{in(dgraph.DropNamespace, 1)} },
		"a drop of other data":      func(m *Manifest) { m.Drops = []dgraph.Drop{in(dgraph.DropData, 1)} },
		"a database not of Dgraph":  func(m *Manifest) { m.Kind = KindBadger },
		"a predicate without name":  func(m *Manifest) { m.Groups = groups{1: {{}}} },
		"a drop of an unknown kind": func(m *Manifest) { m.Drops = []dgraph.Drop{{Kind: 4}} },
	} {
		m := good
		change(&m)
		if got, err := EncodeSingle(&m); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "merry_tester1/2") {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

// A series of 20.x is taken over into the first master, as Dgraph does it.
func TestAppendTakesOver(t *testing.T) {
	old := singles["v20.11-full.json"]
	old.Kind, old.Compression, old.Path = KindDgraph, "gzip", dir1
	next := of("merry_tester1", 2, 30)
	data, err := AppendMaster(nil, &old, &next)
	if err != nil {
		t.Fatal(err)
	}
	single := old
	single.Single = true
	published, err := ParseMaster(data)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Merge(append(published, single), nil)
	if err != nil || len(all) != 2 || all[0].Form != dgraph.FormV20 || all[0].ReadTs != 22 {
		t.Fatalf("got %+v, %v", all, err)
	}
	chain, err := Chain(all, "", 0)
	if err != nil || len(chain) != 2 || chain[1].Since != 22 {
		t.Errorf("got %+v, %v", chain, err)
	}
	if !slices.Contains(chain[0].Groups[1], preds("0-name")[0]) {
		t.Errorf("group 1 has %v", chain[0].Groups[1])
	}
}

// A backup that Dgraph has not been told of is put where it belongs: were it the last,
// Dgraph would take it for the latest.
func TestAppendMasterKeepsTheOrder(t *testing.T) {
	var all []Manifest
	for _, name := range []string{"a", "b", "c"} {
		series, err := ParseMaster([]byte(`{"Manifests":[` + entryOf(name, 1, "d"+name+"1") + `,` + entryOf(name, 2, "d"+name+"2") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, series...)
	}
	ms := pointers(all)
	want, err := AppendMaster(nil, ms...)
	if err != nil {
		t.Fatal(err)
	}
	for mask := range 1 << len(ms) { // those that it lists
		var some []*Manifest
		for i, m := range ms {
			if mask&(1<<i) != 0 {
				some = append(some, m)
			}
		}
		old, err := AppendMaster(nil, some...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendMaster(old, ms...)
		if err != nil || string(got) != string(want) {
			t.Errorf("%b: %v\n got %s\nwant %s", mask, err, got, want)
		}
	}
}
