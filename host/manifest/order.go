package manifest

import (
	"cmp"
	"path"
	"slices"
	"time"
)

// A timed manifest has its place in an order: where the order is given, the time
// never goes back.
type timed struct {
	Manifest
	at time.Time
}

// ordered is when m was taken, or what its directory is called after, if that is later: the
// clock was behind that of a backup before.
func (m *Manifest) ordered() time.Time {
	t := m.Taken()
	if at, ok := DirTime(path.Base(m.Path)); ok && at.After(t) {
		return at
	}
	return t
}

// A place is a number of a series.
type place struct {
	series string
	number int
}

// inOrder gives backups times that keep their order.
func inOrder(ms []Manifest) []timed {
	var latest time.Time
	list := make([]timed, len(ms))
	for i, m := range ms {
		if t := m.ordered(); t.After(latest) {
			latest = t
		}
		list[i] = timed{m, latest}
	}
	return list
}

// afterSeries orders backups by time, but never puts one before what comes before it
// in its series, be that here or in order: clocks differ.
func afterSeries(order []timed, ms []Manifest) []timed {
	reached := map[place]time.Time{}
	for _, m := range order {
		reached[place{m.Series, m.Number}] = m.at
	}
	list := make([]timed, len(ms))
	for i, m := range ms {
		list[i] = timed{m, m.ordered()}
	}
	slices.SortStableFunc(list, func(a, b timed) int { return cmp.Compare(a.Number, b.Number) })
	for i := range list {
		m := &list[i]
		if before := reached[place{m.Series, m.Number - 1}]; m.at.Before(before) {
			m.at = before
		}
		reached[place{m.Series, m.Number}] = m.at
	}
	slices.SortStableFunc(list, func(a, b timed) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ReadTs, b.ReadTs), cmp.Compare(a.Number, b.Number))
	})
	return list
}

// interleave merges two orders by time and changes neither.
func interleave(a, b []timed) []timed {
	all := make([]timed, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].at.Before(a[0].at) {
			all, b = append(all, b[0]), b[1:]
		} else {
			all, a = append(all, a[0]), a[1:]
		}
	}
	return append(append(all, a...), b...)
}

// link fills in Since where nobody recorded it: Dgraph's manifests leave it out.
func link(all []Manifest) {
	readTs := map[place]uint64{}
	for i := range all {
		m := &all[i]
		if m.Record == nil && !m.Full {
			m.Since = readTs[place{m.Series, m.Number - 1}]
		}
		readTs[place{m.Series, m.Number}] = m.ReadTs
	}
}
