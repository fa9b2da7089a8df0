package host

import (
	"bytes"
	"context"
	"slices"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// vanished lists the predicates of last that m neither has nor drops.
// Dgraph's own predicates come and go with its version, and a vector index's
// with the index. A backup made by Dgraph says nothing here: it lists what Zero
// knows of, be there any data or not.
func vanished(last, m *manifest.Manifest) []string {
	if last.Record == nil {
		return nil
	}
	have := map[dgraph.Predicate]bool{}
	for _, preds := range m.Groups {
		for _, p := range preds {
			have[p] = true
		}
	}
	var lost []string
	for _, g := range sorted(last.Groups) {
		for _, p := range last.Groups[g] {
			if !have[p] && !p.Reserved() && !isVectorPart(p) && !dropped(p, m.Drops) && !slices.Contains(lost, p.String()) {
				lost = append(lost, p.String())
			}
		}
	}
	return lost
}

// dropped reports whether drops explain that p is gone. A DROP_DATA takes earlier
// records of its namespace with it: those of that namespace's predicates and,
// where it is namespace 0, of everything and of whole namespaces.
func dropped(p dgraph.Predicate, drops []dgraph.Drop) bool {
	return slices.ContainsFunc(drops, func(d dgraph.Drop) bool {
		switch d.Kind {
		case dgraph.DropAll:
			return true
		case dgraph.DropData:
			return d.WholeCluster || d.Namespace == p.Namespace || d.Namespace == 0
		case dgraph.DropAttr:
			return d.Predicate == p
		case dgraph.DropNamespace:
			return d.Namespace == p.Namespace
		}
		return false
	})
}

// vanishedKeys finds keys of a plain Badger database that are gone without a
// trace: dropped without a record, or deleted and then compacted away. For each
// block of the series' full backup it counts the keys in its range. There must
// be as many as were live then, less those that later backups wrote about and
// may have deleted; new keys can hide a loss, but nothing looks lost that is not.
func (p *plan) vanishedKeys(ctx context.Context, c *catalogue, chain []manifest.Manifest, refuse func(string, ...any) error) error {
	for _, g := range sorted(chain[0].Groups) {
		var seals []*backupfile.Seal
		for i := range chain {
			seal, err := c.seal(ctx, &chain[i], g, p.dataKey)
			if err != nil {
				return err
			}
			seals = append(seals, seal)
		}
		for _, b := range seals[0].File.Blocks {
			if droppedKeys(b.First, b.Last, chain[1:], p.m) {
				continue
			}
			have, err := p.req.Source.CountKeys(ctx, g, b.First, b.Last)
			if err != nil {
				return err
			}
			if have+writtenSince(seals[1:], b.First, b.Last) < int64(b.Live) {
				return refuse("of %d keys from %q to %q only %d are left, although no drop was recorded", b.Live, b.First, b.Last, have)
			}
		}
	}
	return nil
}

// writtenSince bounds how many keys between first and last later backups hold.
func writtenSince(seals []*backupfile.Seal, first, last []byte) (n int64) {
	for _, s := range seals {
		for _, b := range s.File.Blocks {
			if bytes.Compare(b.First, last) <= 0 && bytes.Compare(first, b.Last) <= 0 {
				n += int64(b.Entries)
			}
		}
	}
	return n
}
