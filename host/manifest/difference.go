package manifest

import (
	"fmt"
	"slices"

	"github.com/brock-backup/brock/host/dgraph"
)

// difference says in what two manifests of one directory contradict each other, or
// "" if in nothing. It looks at what Dgraph's manifests can hold.
func difference(a, b *Manifest) string {
	switch f := min(a.Form, b.Form); {
	case a.ID() != b.ID():
		return fmt.Sprintf("backup %s or %s", quote(a.ID()), quote(b.ID()))
	case a.ReadTs != b.ReadTs:
		return fmt.Sprintf("read timestamp %d or %d", a.ReadTs, b.ReadTs)
	case a.Kind != b.Kind:
		return fmt.Sprintf("kind %s or %s", a.Kind, b.Kind)
	case a.Full != b.Full:
		return "full or incremental"
	case a.Encrypted != b.Encrypted:
		return "encrypted or plain"
	case a.Form != b.Form:
		return fmt.Sprintf("version %d or %d", a.Form, b.Form)
	case a.compression() != b.compression():
		return fmt.Sprintf("compression %s or %s", a.Compression, b.Compression)
	case !sameDrops(a.Drops, b.Drops, f):
		return fmt.Sprintf("drop operations %v or %v", brief(a.Drops), brief(b.Drops))
	}
	return differentGroups(a, b)
}

func brief[T any](s []T) []T {
	return s[:min(len(s), 8)]
}

func differentGroups(a, b *Manifest) string {
	if len(a.Groups) != len(b.Groups) {
		return fmt.Sprintf("%d groups or %d", len(a.Groups), len(b.Groups))
	}
	for id, x := range a.Groups {
		y, ok := b.Groups[id]
		if !ok {
			return fmt.Sprintf("group %d is only in one", id)
		}
		if !slices.Equal(unique(x), unique(y)) {
			return fmt.Sprintf("other predicates in group %d", id)
		}
	}
	return ""
}

// unique sorts predicates, as the parsers do already.
func unique(ps []dgraph.Predicate) []dgraph.Predicate {
	if !slices.IsSortedFunc(ps, comparePredicates) {
		ps = slices.Clone(ps)
		slices.SortFunc(ps, comparePredicates)
	}
	return slices.Compact(slices.Clone(ps))
}
