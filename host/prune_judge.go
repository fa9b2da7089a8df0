package host

import (
	"cmp"
	"slices"
	"time"

	"github.com/brock-backup/brock/host/manifest"
)

// A verdict says of one series why it stays.
type verdict struct {
	backups []*manifest.Manifest // in their order
	reasons []string
	picked  [][]string // of each backup
}

func (v *verdict) stays() bool {
	return len(v.reasons) > 0 || slices.ContainsFunc(v.picked, func(rules []string) bool { return len(rules) > 0 })
}

func (v *verdict) last() *manifest.Manifest { return v.backups[len(v.backups)-1] }

// judge decides about every series, the oldest first.
func (c *catalogue) judge(req PruneRequest, now time.Time) []*verdict {
	all := c.grouped()
	var groups [][]*manifest.Manifest
	for _, v := range all {
		groups = append(groups, v.backups)
	}
	c.applyRules(req.Rules, all, now)
	good, keep := c.kept(groups, 1), c.kept(groups, req.Keep)
	latest := manifest.Latest(c.all)
	none := req.Keep == 0 && req.OlderThan == 0 && !req.Rules.Given()
	for i, v := range all {
		v.pins(c)
		for _, r := range []struct {
			name  string
			holds bool
		}{
			{StaysLatest, slices.Contains(v.backups, latest)},
			{StaysLastGood, i >= good},
			{StaysKeep, req.Keep > 0 && i >= keep},
			{StaysYoung, req.OlderThan > 0 && !v.last().Taken().IsZero() && now.Sub(v.last().Taken()) < req.OlderThan},
			{StaysUndated, (req.OlderThan > 0 || req.Rules.Given()) && v.last().Taken().IsZero()},
			{StaysInRoot, slices.ContainsFunc(v.backups, func(m *manifest.Manifest) bool { return m.Path == "" })},
			{StaysAll, none},
		} {
			if r.holds {
				v.reasons = append(v.reasons, r.name)
			}
		}
	}
	return all
}

// grouped returns the series, the oldest first, each with its backups by number. Dgraph
// may give two series one name: then an incremental belongs to the full backup before it, if
// there is one. Where clocks differ, it may come before its own.
func (c *catalogue) grouped() (all []*verdict) {
	var begins []int // of each series, the place of its first backup
	for i := range c.all {
		if m := &c.all[i]; m.Full {
			all, begins = append(all, &verdict{backups: []*manifest.Manifest{m}}), append(begins, i)
		}
	}
	for i := range c.all {
		m := &c.all[i]
		if m.Full {
			continue
		}
		at := -1
		for j, v := range all {
			if v.backups[0].Series == m.Series && (at < 0 || begins[j] < i) {
				at = j
			}
		}
		if at >= 0 {
			all[at].backups = append(all[at].backups, m)
			continue
		}
		at, _ = slices.BinarySearch(begins, i)
		all, begins = slices.Insert(all, at, &verdict{backups: []*manifest.Manifest{m}}), slices.Insert(begins, at, i)
	}
	for _, v := range all {
		slices.SortStableFunc(v.backups, func(a, b *manifest.Manifest) int { return cmp.Compare(a.Number, b.Number) })
	}
	return all
}

// applyRules has the rules pick among the backups of all series, in the order of the
// location: that of the backups, whatever the clocks said.
func (c *catalogue) applyRules(rules KeepRules, all []*verdict, now time.Time) {
	at := map[*manifest.Manifest]int{}
	taken, good := make([]time.Time, len(c.all)), make([]bool, len(c.all))
	for i := range c.all {
		at[&c.all[i]], taken[i] = i, c.all[i].Taken()
	}
	for _, v := range all {
		for n, m := range v.backups {
			good[at[m]] = c.intact(v.backups[:n+1])
		}
	}
	picked := rules.pickAmong(taken, good, now)
	for _, v := range all {
		for _, m := range v.backups {
			v.picked = append(v.picked, picked[at[m]])
		}
	}
}

// pins adds those of the series: to the backup that they name, or to the series.
func (v *verdict) pins(c *catalogue) {
	for _, name := range c.pinsOf(v.last().Series) {
		n, _ := manifest.IsPin(name)
		at := slices.IndexFunc(v.backups, func(m *manifest.Manifest) bool { return m.Number == n })
		if at >= 0 {
			v.picked[at] = append(v.picked[at], StaysPinned)
		} else if !slices.Contains(v.reasons, StaysPinned) {
			v.reasons = append(v.reasons, StaysPinned)
		}
	}
}

// keptSeries tells why a series stays.
func (c *catalogue) keptSeries(v *verdict) KeptSeries {
	k := KeptSeries{ID: v.last().Series, Backups: len(v.backups), Last: v.last().Taken(), Reasons: v.reasons}
	for i, m := range v.backups {
		for g := range m.Groups {
			k.Bytes += c.sizes[m.Object(g)]
		}
		if len(v.picked[i]) > 0 {
			k.Picked = append(k.Picked, KeptBackup{m.Number, m.Taken(), v.picked[i]})
		}
	}
	return k
}

// kept returns the first of the series that stay: so many that can be restored, at
// least one, and all after them.
func (c *catalogue) kept(all [][]*manifest.Manifest, keep int) int {
	keep = max(keep, 1)
	for i, s := range slices.Backward(all) {
		if !c.intact(s) {
			continue
		}
		if keep--; keep == 0 {
			return i
		}
	}
	return 0
}

// intact reports whether a series has all its backups, and they all their objects.
func (c *catalogue) intact(s []*manifest.Manifest) bool {
	for i, m := range s {
		if m.Number != i+1 || len(c.missing(m)) > 0 {
			return false
		}
	}
	return true
}
