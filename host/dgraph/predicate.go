package dgraph

import (
	"strconv"
	"strings"
)

// A Predicate is the name of a predicate, or of a type, in its namespace.
type Predicate struct {
	Namespace uint64 // 0 where there are no namespaces
	Name      string
}

// String writes p as Dgraph 23 does: namespace in hex, '-', name.
func (p Predicate) String() string {
	return strconv.FormatUint(p.Namespace, 16) + "-" + p.Name
}

// Reserved reports whether p is one of Dgraph's own.
func (p Predicate) Reserved() bool {
	return strings.HasPrefix(p.Name, "dgraph.")
}
