package manifest

import (
	"slices"
	"strings"
)

// Merge makes one list of a location's backups, oldest first, from what Dgraph's
// manifests say and from the commit records. Both tell of one backup if their Path
// is the same; then they must agree, and the record is kept with its place in Dgraph's
// order. A backup that the master lists and that has a manifest of its own too
// is one backup.
//
// The order is Dgraph's: that of the master, in which the last is the latest, or
// by Path where there is no master. What the master does not list is put
// between by time, and behind its series' backup before.
func Merge(published, records []Manifest) ([]Manifest, error) {
	masters, singles, err := split(published)
	if err != nil {
		return nil, err
	}
	unlisted, err := join(records, masters, singles)
	if err != nil {
		return nil, err
	}
	order := interleave(inOrder(masters), inOrder(singles))
	order = interleave(order, afterSeries(order, unlisted))
	all := make([]Manifest, len(order))
	for i := range order {
		all[i] = order[i].Manifest
	}
	link(all)
	return all, nil
}

// split separates the master's entries from the manifests beside it that it does
// not list, each in Dgraph's order.
func split(published []Manifest) (masters, singles []Manifest, err error) {
	at := map[string]*Manifest{}
	pick := func(single bool) (list []Manifest, err error) {
		for i := range published {
			m := &published[i]
			if m.Single != single {
				continue
			}
			if twin := at[m.Path]; twin == nil {
				at[m.Path] = m
				list = append(list, *m)
			} else if diff := difference(twin, m); diff != "" {
				return nil, corrupt("two manifests tell of directory %s: %s", quote(m.Path), diff)
			}
		}
		return list, nil
	}
	if masters, err = pick(false); err != nil {
		return nil, nil, err
	}
	if singles, err = pick(true); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(singles, func(a, b Manifest) int { return strings.Compare(a.Path, b.Path) })
	return masters, singles, nil
}

// join gives every backup in lists its commit record, and returns the records
// that no list has.
func join(records []Manifest, lists ...[]Manifest) (unlisted []Manifest, err error) {
	at := map[string]*Manifest{}
	for _, r := range records {
		if twin := at[r.Path]; twin != nil {
			return nil, corrupt("commit records %s and %s name the same directory %s",
				RecordName(twin.Series, twin.Number), RecordName(r.Series, r.Number), quote(r.Path))
		}
		at[r.Path] = &r
	}
	for _, list := range lists {
		for i := range list {
			r := at[list[i].Path]
			if r == nil {
				continue
			}
			if diff := difference(r, &list[i]); diff != "" {
				return nil, corrupt("commit record %s and Dgraph's manifest differ: %s", RecordName(r.Series, r.Number), diff)
			}
			r.Published, r.Single = true, list[i].Single
			list[i] = *r
		}
	}
	for _, r := range records {
		if r := at[r.Path]; !r.Published {
			unlisted = append(unlisted, *r)
		}
	}
	return unlisted, nil
}
