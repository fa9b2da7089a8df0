package dgraph

import (
	"fmt"
	"strconv"
	"strings"
)

// DropPredicate is where Dgraph records drop operations: one new node for each,
// with one string value, in group 1 and in the namespace of whoever asked.
const DropPredicate = "dgraph.drop.op"

// A DropKind says what a drop operation took away. Its number is the manifest's.
type DropKind int

// The drop operations that Dgraph records.
const (
	DropAll       DropKind = 0 // everything
	DropData      DropKind = 1 // all data of a namespace or, in older versions, of all; the schema stays
	DropAttr      DropKind = 2 // one predicate, data and schema
	DropNamespace DropKind = 3 // one namespace
)

// String names k as Dgraph's record does.
func (k DropKind) String() string {
	switch k {
	case DropAll:
		return "DROP_ALL"
	case DropData:
		return "DROP_DATA"
	case DropAttr:
		return "DROP_ATTR"
	case DropNamespace:
		return "DROP_NS"
	}
	return "DROP_" + strconv.Itoa(int(k))
}

// A Drop is one drop operation. It acts on everything written before the backup
// that carries it, and on nothing in that backup. Several in one backup have no order.
type Drop struct {
	Kind         DropKind
	Predicate         // of DropAttr; of DropData and DropNamespace only its Namespace counts
	WholeCluster bool // DropData of all namespaces
}

// String tells d for people.
func (d Drop) String() string {
	switch {
	case d.Kind == DropAttr:
		return d.Kind.String() + " " + d.Predicate.String()
	case d.Kind == DropNamespace, d.Kind == DropData && !d.WholeCluster:
		return d.Kind.String() + " 0x" + strconv.FormatUint(d.Namespace, 16)
	}
	return d.Kind.String()
}

// ParseDropValue reads the value of a record under [DropPredicate] in namespace ns.
// f is the form of names in that database; a form of another version is
// recognised. Dgraph refuses all backups once a record holds two ';', as one for
// a predicate with ';' in its name does: here only the first counts.
func ParseDropValue(ns uint64, value string, f Form) (Drop, error) {
	op, arg, ok := strings.Cut(value, ";")
	if !ok {
		return Drop{}, fmt.Errorf("%w: drop record %q has no ';'", ErrCorrupt, value)
	}
	switch op {
	case "DROP_ALL":
		return Drop{Kind: DropAll}, nil
	case "DROP_DATA":
		if arg == "" {
			return Drop{Kind: DropData, WholeCluster: true}, nil
		}
		return dropIn(DropData, value, arg)
	case "DROP_NS":
		return dropIn(DropNamespace, value, arg)
	case "DROP_ATTR":
		if arg == "" {
			return Drop{}, fmt.Errorf("%w: drop record %q names no predicate", ErrCorrupt, value)
		}
		return Drop{Kind: DropAttr, Predicate: recognise(f, arg, ns)}, nil
	}
	return Drop{}, fmt.Errorf("%w: drop record %q is of no known kind", ErrCorrupt, value)
}

func dropIn(k DropKind, value, arg string) (Drop, error) {
	ns, err := strconv.ParseUint(strings.TrimPrefix(arg, "0x"), 16, 64)
	if err != nil {
		return Drop{}, fmt.Errorf("%w: drop record %q names no namespace", ErrCorrupt, value)
	}
	return Drop{Kind: k, Predicate: Predicate{Namespace: ns}}, nil
}
