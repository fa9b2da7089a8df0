package host

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/host/manifest"
)

// trials begin the names of directories in which locations are tried out. What is
// left there was left by somebody who may not delete.
var trials = []string{"brock-doctor-", "brock-bench-"}

// abandoned chooses the directories that backups have made before, and never
// committed. A directory that anything else lies in is none. Where there are no
// backups at all, none is known to be abandoned: it may be the manifest that is lost.
func (p *pruning) abandoned(before time.Time) {
	for _, m := range p.c.leftoversOf() {
		p.dirs = append(p.dirs, &removal{dir: m.Path, names: p.c.objects(m)})
	}
	if len(p.c.all) == 0 {
		return
	}
	known := p.c.known()
	found, trial := map[string]bool{}, map[string]bool{}
	for name := range p.c.sizes {
		dir, _, below := strings.Cut(name, "/")
		if made, ok := manifest.DirTime(dir); ok && made.Before(before) && below && !known[dir] {
			found[dir] = true
		}
		if below && slices.ContainsFunc(trials, func(t string) bool { return strings.HasPrefix(dir, t) }) {
			trial[dir] = true
		}
	}
	for _, dir := range sorted(trial) {
		p.dirs = append(p.dirs, &removal{dir: dir, names: p.c.below(dir)})
	}
	_, master := p.c.sizes[manifest.MasterName]
	for _, dir := range sorted(found) {
		names := p.c.below(dir)
		foreign := slices.ContainsFunc(names, func(name string) bool { return !manifest.IsObject(name) })
		sealed := slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".seal") })
		if foreign || !master && !sealed { // Dgraph seals nothing: its list may be what was lost
			continue
		}
		p.dirs = append(p.dirs, &removal{dir: dir, names: names})
	}
}

// known returns the directories of which anything is told.
func (c *catalogue) known() map[string]bool {
	known := map[string]bool{}
	for _, list := range [][]manifest.Manifest{c.all, c.leftovers} {
		for i := range list {
			known[list[i].Path] = true
		}
	}
	for _, dir := range c.nested {
		known[dir] = true
	}
	return known
}

// stillAbandoned looks again, at a location that a prune may have been busy with for a
// while: what was committed meanwhile is no rubbish.
func (p *pruning) stillAbandoned(ctx context.Context) ([]*removal, error) {
	if len(p.dirs) == 0 {
		return nil, nil
	}
	c, err := look(ctx, p.c.loc)
	if err != nil {
		return nil, err
	}
	for i := range c.all {
		at := c.all[i].Path
		p.dirs = slices.DeleteFunc(p.dirs, func(r *removal) bool { return r.dir == at })
	}
	return p.dirs, nil
}

// leftoversOf returns what is told of and was removed.
func (c *catalogue) leftoversOf() (ms []*manifest.Manifest) {
	for i := range c.leftovers {
		ms = append(ms, &c.leftovers[i])
	}
	return ms
}

// leftovers chooses the small objects of series that are gone, made before. A closing
// goes also where the series has stayed.
func (p *pruning) leftovers(before time.Time) {
	p.remains = &removal{}
	if len(p.c.all) == 0 {
		return
	}
	there, going := map[string]bool{}, map[string]bool{} // by directory
	for i := range p.c.all {
		there[path.Dir(manifest.RecordName(p.c.all[i].Series, 1))] = true
	}
	for _, m := range p.c.leftoversOf() {
		going[m.Series] = true
	}
	for _, r := range p.series {
		going[r.v.last().Series] = true
	}
	add := func(name string, made time.Time, gone bool) {
		if gone && made.Before(before) {
			p.remains.names = append(p.remains.names, name)
		}
	}
	for _, series := range sorted(p.c.keys) {
		for _, n := range sorted(p.c.keys[series]) {
			name := manifest.KeyRecordName(series, n)
			add(name, p.c.keys[series][n].Created, !there[path.Dir(name)])
		}
	}
	for _, name := range sorted(p.c.pins) {
		if pin := p.c.pins[name]; pin != nil {
			add(name, pin.Created, !there[path.Dir(name)])
		}
	}
	for _, name := range sorted(p.c.closings) {
		add(name, p.c.closings[name].Created, !going[p.c.closings[name].Series])
	}
}
