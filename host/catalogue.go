package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A catalogue is what a location holds, read from its manifests and commit
// records and from one listing.
type catalogue struct {
	loc   Location
	all   []manifest.Manifest // in the order of the manifests, oldest first
	sizes map[string]int64    // every object, by name

	nested []string         // directories that are locations of their own
	broken map[string]error // commit records and manifests that cannot be read

	keys  map[string]map[int]*manifest.KeyRecord // by series and number
	notes []error                                // what is broken, and can be done without

	pins      map[string]*manifest.Pin     // by name; nil if it cannot be read, and holds all the same
	closings  map[string]*manifest.Closing // by name
	leftovers []manifest.Manifest          // backups that a prune has removed, and a manifest of Dgraph's tells of
}

// catalogue lists loc. It never takes "could not read" for "nothing there": any
// error but a missing location ends it.
func (e *Engine) catalogue(ctx context.Context, loc Location) (*catalogue, error) {
	c, err := look(ctx, loc)
	if err == nil && slices.ContainsFunc(c.all, func(m manifest.Manifest) bool { return len(c.missing(&m)) > 0 }) {
		c, err = look(ctx, loc) // a backup may have been committed between the listing and its manifest
	}
	if err != nil {
		return nil, err
	}
	for _, name := range sorted(c.broken) {
		e.log().Warn("the location is damaged", "error", c.broken[name])
	}
	for _, err := range c.notes {
		e.log().Warn("a small object is damaged: of wrapped keys an earlier one is used, a pin holds all the same", "error", err)
	}
	for _, name := range c.nested {
		e.log().Warn("a location below this one is left alone", "location", loc.URI, "nested", name)
	}
	return c, nil
}

// look lists a location once and reads its manifests.
func look(ctx context.Context, loc Location) (*catalogue, error) {
	c := &catalogue{
		loc: loc, sizes: map[string]int64{}, broken: map[string]error{}, keys: map[string]map[int]*manifest.KeyRecord{},
		pins: map[string]*manifest.Pin{}, closings: map[string]*manifest.Closing{},
	}
	err := retry(ctx, func() error {
		clear(c.sizes)
		for obj, err := range loc.Destination.List(ctx, "") {
			if err != nil {
				return err
			}
			c.sizes[obj.Name] = obj.Size
		}
		return nil
	})
	if errors.Is(err, sdk.ErrNotExist) {
		hint := sdk.Hint(err)
		if hint == "" {
			hint = "check the location for a misspelling; only a backup makes a new one"
		}
		return nil, usage(hint, "%w: %w", ErrNoLocation, about(loc.URI, err))
	}
	if err != nil {
		return nil, fmt.Errorf("listing: %w", about(loc.URI, err))
	}
	if err := c.read(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", loc.URI, err)
	}
	return c, nil
}

// read collects what manifests and commit records say. What cannot be understood is
// broken; what cannot be read at all is an error.
func (c *catalogue) read(ctx context.Context) error {
	var published, records []manifest.Manifest
	for _, name := range sorted(c.sizes) {
		if n, ok := manifest.IsKeyRecord(name); ok {
			if err := c.readKey(ctx, name, n); err != nil {
				return err
			}
			continue
		}
		if _, ok := manifest.IsPin(name); ok {
			if err := c.readPin(ctx, name); err != nil {
				return err
			}
			continue
		}
		if path.Base(name) != manifest.MasterName && !isRecord(name) {
			continue
		}
		data, err := getAll(ctx, c.loc.Destination, name)
		if c.removed(ctx, name, err) {
			continue
		}
		if err != nil {
			return err
		}
		if isRecord(name) && manifest.IsClosing(data) {
			c.readClosing(name, data)
			continue
		}
		if isRecord(name) {
			m, err := manifest.ParseRecord(data)
			if err == nil && manifest.RecordName(m.Series, m.Number) != name {
				err = fmt.Errorf("%w: it records backup %s", manifest.ErrCorrupt, m.ID())
			}
			if err != nil {
				c.broken[name] = fmt.Errorf("%s: %w", name, err)
				continue
			}
			records = append(records, *m)
			continue
		}
		ms, err := parsePublished(name, data)
		switch {
		case errors.Is(err, manifest.ErrNested):
			c.nested = append(c.nested, path.Dir(name))
		case errors.Is(err, manifest.ErrForeign):
		case err != nil:
			c.broken[name] = fmt.Errorf("%s: %w", name, err)
		}
		published = append(published, ms...)
	}
	all, err := manifest.Merge(published, records)
	if _, master := c.sizes[manifest.MasterName]; err != nil && master && len(records) > 0 {
		// The records are signed. What contradicts them is the other side.
		var again error
		if all, again = manifest.Merge(nil, records); again == nil {
			c.broken[manifest.MasterName], err = fmt.Errorf("%s: %w", manifest.MasterName, err), nil
		}
	}
	c.all = all
	c.hideLeftovers()
	return err
}

// removed reports whether what could not be read is not listed any more: a prune has
// removed it.
func (c *catalogue) removed(ctx context.Context, name string, err error) bool {
	if !errors.Is(err, sdk.ErrNotExist) || path.Dir(name) == "." {
		return false
	}
	names, err := c.listDir(ctx, path.Dir(name))
	if err != nil || names[name] {
		return false
	}
	delete(c.sizes, name)
	return true
}

// readKey reads a key record. One that is broken says no more than the commit
// records do, and takes nothing away from them.
func (c *catalogue) readKey(ctx context.Context, name string, number int) error {
	data, err := getAll(ctx, c.loc.Destination, name)
	if c.removed(ctx, name, err) {
		return nil
	}
	if err != nil {
		return err
	}
	k, err := manifest.ParseKeyRecord(data)
	if err == nil && manifest.KeyRecordName(k.Series, number) != name {
		err = fmt.Errorf("%w: it is that of series %s", manifest.ErrCorrupt, k.Series)
	}
	if err != nil {
		c.notes = append(c.notes, fmt.Errorf("%s: %w", name, err))
		return nil
	}
	if c.keys[k.Series] == nil {
		c.keys[k.Series] = map[int]*manifest.KeyRecord{}
	}
	c.keys[k.Series][number] = k
	return nil
}

// parsePublished reads one of Dgraph's manifests: the master, or that of a directory.
func parsePublished(name string, data []byte) ([]manifest.Manifest, error) {
	if name == manifest.MasterName {
		return manifest.ParseMaster(data)
	}
	m, err := manifest.ParseSingle(path.Dir(name), data)
	if err != nil {
		return nil, err
	}
	return []manifest.Manifest{m}, nil
}

func isRecord(name string) bool {
	parts := strings.Split(name, "/")
	_, key := manifest.IsKeyRecord(name)
	_, pin := manifest.IsPin(name)
	return len(parts) == 3 && parts[0] == "brock" && strings.HasSuffix(name, ".json") && !key && !pin
}

// missing lists the data objects of m that are not there, or that have another
// size than its commit record says, and the seals that are not there.
func (c *catalogue) missing(m *manifest.Manifest) []string {
	var names []string
	for _, g := range sorted(m.Groups) {
		name := m.Object(g)
		size, ok := c.sizes[name]
		if !ok {
			names = append(names, name)
			continue
		}
		if _, ok := c.sizes[m.Seal(g)]; !ok && m.Record != nil {
			names = append(names, m.Seal(g))
		}
		if want, known := recordedSize(m, name); known && want != size {
			names = append(names, fmt.Sprintf("%s (%d bytes of %d)", name, size, want))
		}
	}
	return names
}

func recordedSize(m *manifest.Manifest, name string) (int64, bool) {
	if m.Record == nil {
		return 0, false
	}
	for _, o := range m.Record.Objects {
		if o.Name == name {
			return o.Size, true
		}
	}
	return 0, false
}

// pick selects a chain of the manifests, whatever its files. Beside a commit record or a
// manifest that is broken, only a backup that was named and does not need it is picked:
// what the broken one says might be the latest, or the one before.
func (c *catalogue) pick(series string, number int) ([]manifest.Manifest, error) {
	chain, err := manifest.Chain(c.all, series, number)
	named := series != "" && number != 0
	if err == nil {
		series = chain[0].Series
	}
	for _, name := range sorted(c.broken) {
		switch s, n := recorded(name); {
		case !isRecord(name):
			if !c.covered(name) && (!named || err != nil) {
				err = &failure{c.broken[name], ErrDamaged, "bring the object back from another copy, or choose one of the backups that brock ls shows with --backup_id and --backup_num"}
			}
		case series == "" || path.Dir(name) == path.Dir(manifest.RecordName(series, 1)):
			if s == "" || err != nil || number == 0 || n <= number {
				err = &failure{c.broken[name], ErrDamaged, "bring the object back from another copy; an earlier backup can be chosen with --backup_num, another series with --backup_id, or begun with --force-full"}
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.loc.URI, err)
	}
	return chain, nil
}

// recorded takes the name of a commit record apart. The series is as it is in the name.
func recorded(name string) (series string, number int) {
	series = path.Base(path.Dir(name))
	number, err := strconv.Atoi(strings.TrimSuffix(path.Base(name), ".json"))
	if err != nil {
		return "", 0
	}
	return series, number
}

// covered reports whether a directory's manifest tells nothing that a commit record
// does not tell as well.
func (c *catalogue) covered(name string) bool {
	return slices.ContainsFunc(c.all, func(m manifest.Manifest) bool { return m.Record != nil && m.Path == path.Dir(name) })
}

// continuable refuses to write beside manifests or records that are broken: the next
// backup could take the place of one that they tell of.
func (c *catalogue) continuable() error {
	for _, name := range sorted(c.broken) {
		if !isRecord(name) && !c.covered(name) {
			return fmt.Errorf("%s: %w", c.loc.URI, &failure{
				c.broken[name], ErrDamaged,
				"bring the object back from another copy, or use another location; if every backup that counts is shown by brock ls, take the object away and the next backup makes it again",
			})
		}
	}
	return nil
}

// lostRecord reports whether a backup that Brock made, as its seals show, has no commit
// record any more. Its data can be restored; nothing can be built on it.
func (c *catalogue) lostRecord(m *manifest.Manifest) bool {
	if m.Record != nil {
		return false
	}
	for g := range m.Groups {
		if _, ok := c.sizes[m.Seal(g)]; ok {
			return true
		}
	}
	return false
}

// chain selects what must be restored for one backup, oldest first, and
// makes sure that all of it is there.
func (c *catalogue) chain(series string, number int) ([]manifest.Manifest, error) {
	chain, err := c.pick(series, number)
	if err != nil {
		return nil, err
	}
	for i := range chain {
		if lost := c.missing(&chain[i]); len(lost) > 0 {
			return nil, damaged("bring the object back from another copy, or restore an earlier backup with --backup_num",
				"%s: backup %s: missing or cut short: %s", c.loc.URI, chain[i].ID(), strings.Join(lost, ", "))
		}
	}
	return chain, nil
}

// Listing is one backup as [Engine.List] shows it. Of a manifest or a commit record that
// is broken it has only the name, as the Path, and what its name says.
type Listing struct {
	Manifest manifest.Manifest
	Size     int64         // stored bytes of its data objects
	Sealed   bool          // every data object has a seal
	Missing  []string      // objects that are not there, have the wrong size or are broken
	Pin      *manifest.Pin // that holds it, or nil
}

// List returns the backups at loc, oldest first. A location without backups is
// an empty list; one that cannot be read is an error.
func (e *Engine) List(ctx context.Context, loc Location) ([]Listing, error) {
	ctx = e.withLog(ctx)
	c, err := e.catalogue(ctx, loc)
	if err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	list := make([]Listing, 0, len(c.all))
	unlisted := maps.Clone(c.broken)
	for i := range c.all {
		m := &c.all[i]
		l := Listing{Manifest: *m, Sealed: len(m.Groups) > 0, Missing: c.missing(m)}
		l.Pin = c.pinned(m)
		record := manifest.RecordName(m.Series, m.Number)
		if _, err := manifest.Chain(c.all, m.Series, m.Number); err != nil {
			l.Missing = append(l.Missing, err.Error())
		}
		if err := c.broken[record]; err != nil {
			l.Missing = append(l.Missing, err.Error())
			delete(unlisted, record)
		} else if c.lostRecord(m) {
			l.Missing = append(l.Missing, record)
		}
		for g := range m.Groups {
			l.Size += c.sizes[m.Object(g)]
			if _, ok := c.sizes[m.Seal(g)]; !ok {
				l.Sealed = false
			}
		}
		list = append(list, l)
	}
	for _, name := range sorted(unlisted) {
		l := Listing{Missing: []string{unlisted[name].Error()}}
		l.Manifest.Path = name
		if isRecord(name) {
			l.Manifest.Series, l.Manifest.Number = recorded(name)
		}
		list = append(list, l)
	}
	return list, nil
}
