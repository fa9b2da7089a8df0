package manifest

import (
	"bytes"
	"testing"

	"github.com/brock-backup/brock/host/dgraph"
)

// The digest is the same after a commit record was written and read, and another one if
// anything differs that a restore acts on.
func TestDigest(t *testing.T) {
	make := func() *Manifest {
		m := &Manifest{
			Series: "keen_leakey6", Number: 2, Since: 34, ReadTs: 126, Path: dir1, Kind: KindDgraph, Form: dgraph.FormV23, Compression: "snappy",
			Groups: map[uint32][]dgraph.Predicate{1: {{Name: "name"}, {Namespace: 2, Name: "age"}}, 2: {{Name: "knows"}}},
			Drops: []dgraph.Drop{
				{Kind: dgraph.DropAll},
				{Kind: dgraph.DropAttr, Predicate: dgraph.Predicate{Name: "old"}},
				{Kind: dgraph.DropData, Predicate: dgraph.Predicate{Namespace: 3}},
				{Kind: dgraph.DropNamespace, Predicate: dgraph.Predicate{Namespace: 4}},
			},
			Record: &Record{Engine: "test", Compat: string(CompatV23)},
		}
		for g := range uint32(2) {
			m.Record.Objects = append(m.Record.Objects, Object{
				Group: g + 1, Ts: 126, Name: m.Object(g + 1), Size: 1, SHA256: string(bytes.Repeat([]byte("0"), 64)),
				Seal: m.Seal(g + 1), SealSHA256: string(bytes.Repeat([]byte("0"), 64)),
			})
		}
		return m
	}
	want := make().Digest()
	data, err := EncodeRecord(make())
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Digest(), want) {
		t.Errorf("a record that was read has another digest: %+v", m)
	}
	for name, change := range map[string]func(*Manifest){
		"series": func(m *Manifest) { m.Series += "x" }, "number": func(m *Manifest) { m.Number++ }, "full": func(m *Manifest) { m.Full = true },
		"since": func(m *Manifest) { m.Since++ }, "read timestamp": func(m *Manifest) { m.ReadTs++ }, "path": func(m *Manifest) { m.Path += "x" },
		"kind": func(m *Manifest) { m.Kind = KindBadger }, "form": func(m *Manifest) { m.Form = dgraph.FormV20 },
		"a group less":     func(m *Manifest) { delete(m.Groups, 2) },
		"a predicate less": func(m *Manifest) { m.Groups[1] = m.Groups[1][:1] },
		"a predicate moved": func(m *Manifest) {
			m.Groups[1], m.Groups[2] = m.Groups[1][:1], append(m.Groups[2], m.Groups[1][1])
		},
		"a drop less":     func(m *Manifest) { m.Drops = m.Drops[1:] },
		"a drop more":     func(m *Manifest) { m.Drops = append(m.Drops, dgraph.Drop{}) },
		"another drop":    func(m *Manifest) { m.Drops[1].Name = "new" },
		"whole cluster":   func(m *Manifest) { m.Drops[2].WholeCluster = true },
		"a prefix":        func(m *Manifest) { m.Record.BadgerDrops = []BadgerDrop{{Prefix: []byte("p")}} },
		"all of Badger's": func(m *Manifest) { m.Record.BadgerDrops = []BadgerDrop{{All: true}} },
	} {
		m := make()
		change(m)
		if bytes.Equal(m.Digest(), want) {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}
