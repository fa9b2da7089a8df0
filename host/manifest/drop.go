package manifest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// A wireDrop is a drop operation as the manifest has it. DROP_ALL is {}.
type wireDrop struct {
	Op    dgraph.DropKind `json:"drop_op,omitempty"`
	Value string          `json:"drop_value,omitempty"`
}

func (r *reader) drops() (ds []wireDrop, err error) {
	err = r.array(func(i int) error {
		var d wireDrop
		err := r.object(func(key string) error {
			switch key {
			case "drop_op":
				var op uint64
				if err := r.number(&op); err != nil {
					return err
				}
				if op > uint64(dgraph.DropNamespace) {
					return corrupt("operation %d is not known", op)
				}
				d.Op = dgraph.DropKind(op)
				return nil
			case "drop_value":
				return r.text(&d.Value, maxName)
			}
			return r.skip()
		})
		if err != nil {
			return inside(err, "%d", i+1)
		}
		ds = append(ds, d)
		return r.take(128) // here, and as a Drop
	})
	return ds, err
}

// drops reads operations whose names are in form f.
func drops(ws []wireDrop, f dgraph.Form) ([]dgraph.Drop, error) {
	if len(ws) == 0 {
		return nil, nil
	}
	ds := make([]dgraph.Drop, len(ws))
	for i, w := range ws {
		var err error
		if ds[i], err = w.drop(f); err != nil {
			return nil, inside(err, "%d", i+1)
		}
	}
	return ds, nil
}

func (w wireDrop) drop(f dgraph.Form) (d dgraph.Drop, err error) {
	d.Kind = w.Op
	switch {
	case w.Op == dgraph.DropData && w.Value == "":
		d.WholeCluster = true
	case w.Op == dgraph.DropAttr:
		if d.Predicate, err = dgraph.ParsePredicate(f, w.Value); err != nil {
			return d, corrupt("%w", err)
		}
	case w.Op == dgraph.DropData, w.Op == dgraph.DropNamespace:
		hex, ok := strings.CutPrefix(w.Value, "0x")
		d.Namespace, err = strconv.ParseUint(hex, 16, 64)
		if !ok || err != nil {
			return d, corrupt("%s: %s is not a namespace", w.Op, quote(w.Value))
		}
	}
	return d, nil
}

// wireDrops writes m's operations in form f.
func (m *Manifest) wireDrops(f dgraph.Form) ([]wireDrop, error) {
	var ws []wireDrop
	for _, d := range m.Drops {
		w, err := m.wireDrop(d, f)
		if err != nil {
			return nil, inside(err, "%s", d)
		}
		ws = append(ws, w)
	}
	return ws, nil
}

func (m *Manifest) wireDrop(d dgraph.Drop, f dgraph.Form) (w wireDrop, err error) {
	w.Op = d.Kind
	switch d.Kind {
	case dgraph.DropAll:
	case dgraph.DropAttr:
		w.Value, err = formatName(d.Predicate, f)
	case dgraph.DropData:
		switch {
		case d.WholeCluster:
		case f == dgraph.FormV23:
			w.Value = "0x" + strconv.FormatUint(d.Namespace, 16)
		case !m.onlyIn(d.Namespace):
			// Before 23.0 it takes the data of every namespace.
			return w, unfit("Dgraph of form %s drops the data of every namespace at once", f)
		}
	case dgraph.DropNamespace:
		if f == dgraph.FormV20 {
			return w, unfit("form %s has no namespaces", f)
		}
		w.Value = "0x" + strconv.FormatUint(d.Namespace, 16)
	default:
		return w, unfit("operation %d is not known", d.Kind)
	}
	return w, err
}

// onlyIn reports whether all of m's predicates lie in one namespace.
func (m *Manifest) onlyIn(ns uint64) bool {
	for _, ps := range m.Groups {
		if slices.ContainsFunc(ps, func(p dgraph.Predicate) bool { return p.Namespace != ns }) {
			return false
		}
	}
	return true
}

// sameDrops compares operations as far as form f can tell them apart.
func sameDrops(a, b []dgraph.Drop, f dgraph.Form) bool {
	return slices.Equal(told(a, f), told(b, f))
}

func told(ds []dgraph.Drop, f dgraph.Form) []string {
	texts := make([]string, len(ds))
	for i, d := range ds {
		if d.Kind == dgraph.DropData && f != dgraph.FormV23 {
			d.WholeCluster = true
		}
		texts[i] = d.String()
	}
	slices.Sort(texts)
	return texts
}
