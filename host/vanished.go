package host

import (
	"slices"

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
