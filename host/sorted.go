package host

import (
	"cmp"
	"maps"
	"slices"
)

// sorted returns a map's keys in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
