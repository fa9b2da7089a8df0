package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"github.com/brock-backup/brock/host/dgraph"
)

// Digest sums up what a restore does because of m: where its files are, what they follow,
// which groups and predicates there are, and what was dropped. A seal holds it, which
// nobody can write without the data key: a commit record can be written by anybody.
func (m *Manifest) Digest() []byte {
	h := sha256.New()
	number := func(n uint64) { _, _ = h.Write(binary.AppendUvarint(nil, n)) }
	text := func(s string) {
		number(uint64(len(s)))
		_, _ = io.WriteString(h, s)
	}
	flag := func(b bool) {
		n := uint64(0)
		if b {
			n = 1
		}
		number(n)
	}
	text("brock/manifest/v1")
	text(string(m.Kind))
	text(m.Series)
	number(uint64(m.Number))
	flag(m.Full)
	number(m.Since)
	number(m.ReadTs)
	text(m.Path)
	number(uint64(m.Form))
	number(uint64(len(m.Groups)))
	for _, g := range slices.Sorted(maps.Keys(m.Groups)) {
		number(uint64(g))
		names := make([]string, len(m.Groups[g]))
		for i, p := range m.Groups[g] {
			names[i] = p.String()
		}
		slices.Sort(names)
		number(uint64(len(names)))
		for _, name := range names {
			text(name)
		}
	}
	number(uint64(len(m.Drops)))
	for _, d := range m.Drops {
		text(canonical(d).String())
	}
	var badger []BadgerDrop
	if m.Record != nil {
		badger = m.Record.BadgerDrops
	}
	number(uint64(len(badger)))
	for _, d := range badger {
		flag(d.All)
		text(string(d.Prefix))
	}
	return h.Sum(nil)
}

// canonical leaves out what does not count for a drop of its kind.
func canonical(d dgraph.Drop) dgraph.Drop {
	c := dgraph.Drop{Kind: d.Kind}
	switch {
	case d.Kind == dgraph.DropAttr:
		c.Predicate = d.Predicate
	case d.Kind == dgraph.DropNamespace, d.Kind == dgraph.DropData && !d.WholeCluster:
		c.Namespace = d.Namespace
	case d.Kind == dgraph.DropData:
		c.WholeCluster = true
	}
	return c
}
