package manifest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// at is a backup whose directory says when it was taken.
func at(m Manifest, minute int) Manifest {
	m.Path = DirName(noon.Add(time.Duration(minute) * time.Minute))
	return m
}

// alone is a backup with a manifest of its own.
func alone(m Manifest) Manifest {
	m.Single, m.Form, m.Compression = true, dgraph.FormV20, "gzip"
	return m
}

// committed is a backup's commit record.
func committed(m Manifest, since uint64, minute int) Manifest {
	m.Published, m.Single, m.Since = false, false, since
	m.Record = &Record{Created: noon.Add(time.Duration(minute) * time.Minute)}
	return m
}

func TestMergeOrder(t *testing.T) {
	for name, c := range map[string]struct {
		published, records []Manifest
		want               string
	}{
		"nothing": {},
		"a master keeps its order": {
			published: []Manifest{at(of("b", 1, 50), 9), at(of("a", 1, 10), 1)},
			want:      "b/1 a/1",
		},
		"manifests of their own are sorted by path": {
			published: []Manifest{alone(of("b", 1, 9)), alone(of("a", 2, 8)), alone(of("a", 1, 10))},
			want:      "a/1 a/2 b/1",
		},
		"those beside a master come in by time": {
			published: []Manifest{at(of("m", 1, 10), 2), at(of("m", 2, 20), 4), at(alone(of("s", 1, 1)), 1), at(alone(of("s", 2, 2)), 3)},
			want:      "s/1 m/1 s/2 m/2",
		},
		"the master wins what both list": {
			published: []Manifest{at(of("m", 1, 10), 9), at(takenOver(of("s", 1, 1)), 1), at(alone(of("s", 1, 1)), 1)},
			want:      "m/1 s/1",
		},
		"records come in by time": {
			published: []Manifest{at(of("m", 1, 10), 2), at(of("m", 2, 20), 4)},
			records:   []Manifest{committed(of("r", 2, 9), 8, 5), committed(of("r", 1, 8), 0, 3)},
			want:      "m/1 r/1 m/2 r/2",
		},
		"and never before their series' last": {
			published: []Manifest{at(of("m", 1, 10), 2), at(of("m", 2, 20), 4)},
			records:   []Manifest{committed(of("m", 4, 40), 30, -1), committed(of("m", 3, 30), 20, 0)},
			want:      "m/1 m/2 m/3 m/4",
		},
	} {
		got, err := Merge(c.published, c.records)
		if err != nil || idsOf(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, idsOf(got), err, c.want)
		}
	}
}

// takenOver is an entry of a master that was a manifest of its own.
func takenOver(m Manifest) Manifest {
	m.Form, m.Compression = dgraph.FormV20, "gzip"
	return m
}

// A record says more than Dgraph's manifest, and has the place that the manifest has.
func TestMergeJoins(t *testing.T) {
	published := []Manifest{of("a", 1, 10), of("a", 2, 20), of("b", 1, 15)}
	got, err := Merge(published, []Manifest{committed(of("a", 2, 20), 10, 0)})
	if err != nil || idsOf(got) != "a/1 a/2 b/1" {
		t.Fatalf("got %s, %v", idsOf(got), err)
	}
	if m := got[1]; m.Record == nil || !m.Published || m.Since != 10 {
		t.Errorf("got %+v", m)
	}
	if got[0].Record != nil || got[2].Record != nil {
		t.Error("a backup has the record of another")
	}
}

// A change to the master that its checksum-less JSON cannot show is seen by comparing
// it with the commit record.
func TestMergeSeesContradictions(t *testing.T) {
	for want, change := range map[string]func(*Manifest){
		`backup "a/2" or "b/2"`:                     func(m *Manifest) { m.Series = "b" },
		`backup "a/2" or "a/3"`:                     func(m *Manifest) { m.Number = 3 },
		"read timestamp 20 or 21":                   func(m *Manifest) { m.ReadTs = 21 },
		"full or incremental":                       func(m *Manifest) { m.Full = true },
		"encrypted or plain":                        func(m *Manifest) { m.Encrypted = true },
		"version 2105 or 2103":                      func(m *Manifest) { m.Form = dgraph.FormV21 },
		"compression snappy or zstd":                func(m *Manifest) { m.Compression = "zstd" },
		"drop operations [] or [DROP_ALL]":          func(m *Manifest) { m.Drops = []dgraph.Drop{dropAll} },
		"other predicates in group 1":               func(m *Manifest) { m.Groups = groups{1: preds("0-named")} },
		"group 1 is only in one":                    func(m *Manifest) { m.Groups = groups{2: preds("0-name")} },
		"1 groups or 2":                             func(m *Manifest) { m.Groups = groups{1: preds("0-name"), 2: nil} },
		"commit record brock/a/2.json and Dgraph's": func(m *Manifest) { m.ReadTs = 21 },
	} {
		m := of("a", 2, 20)
		change(&m)
		_, err := Merge([]Manifest{of("a", 1, 10), m}, []Manifest{committed(of("a", 2, 20), 10, 0)})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	twice := of("a", 1, 11)
	if _, err := Merge([]Manifest{of("a", 1, 10), twice}, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("one directory with two contents: %v", err)
	}
	other := committed(of("a", 2, 20), 10, 0)
	other.Path = "a-1"
	if _, err := Merge(nil, []Manifest{committed(of("a", 1, 10), 0, 0), other}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two records of one directory: %v", err)
	}
}

// An entry that a retried publication added twice is one backup.
func TestMergeForgivesRepetition(t *testing.T) {
	got, err := Merge([]Manifest{of("a", 1, 10), of("a", 2, 20), of("a", 2, 20)}, nil)
	if err != nil || idsOf(got) != "a/1 a/2" {
		t.Errorf("got %s, %v", idsOf(got), err)
	}
	if _, err := Chain(got, "", 0); err != nil {
		t.Error(err)
	}
}

// S2 goes by the name of snappy in Dgraph's manifest, and before 23.0 every
// DROP_DATA is one of the whole cluster.
func TestMergeKnowsWhatFormsLeaveOut(t *testing.T) {
	m := of("a", 1, 10)
	m.Form, m.Drops = dgraph.FormV21, []dgraph.Drop{dropData}
	r := committed(m, 0, 0)
	r.Compression, r.Drops = "s2", []dgraph.Drop{in(dgraph.DropData, 0)}
	got, err := Merge([]Manifest{m}, []Manifest{r})
	if err != nil || len(got) != 1 || got[0].Compression != "s2" {
		t.Errorf("got %+v, %v", got, err)
	}
}
