package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
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
	broken map[string]error // commit records that cannot be read: nothing is said of their series
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
		e.log().Warn("a series is damaged", "error", c.broken[name])
	}
	for _, name := range c.nested {
		e.log().Warn("a location below this one is left alone", "location", loc.URI, "nested", name)
	}
	return c, nil
}

// look lists a location once and reads its manifests.
func look(ctx context.Context, loc Location) (*catalogue, error) {
	c := &catalogue{loc: loc, sizes: map[string]int64{}, broken: map[string]error{}}
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
		return nil, usage("check the location for a misspelling; only a backup makes a new one", "%w: %s", ErrNoLocation, loc.URI)
	}
	if err != nil {
		return nil, fmt.Errorf("listing: %w", about(loc.URI, err))
	}
	if err := c.read(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", loc.URI, err)
	}
	return c, nil
}

func (c *catalogue) read(ctx context.Context) error {
	var published, records []manifest.Manifest
	for _, name := range sorted(c.sizes) {
		switch {
		case name == manifest.MasterName:
			data, err := getAll(ctx, c.loc.Destination, name)
			if err != nil {
				return err
			}
			ms, err := manifest.ParseMaster(data)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			published = append(published, ms...)
		case path.Base(name) == manifest.MasterName:
			data, err := getAll(ctx, c.loc.Destination, name)
			if err != nil {
				return err
			}
			m, err := manifest.ParseSingle(path.Dir(name), data)
			switch {
			case errors.Is(err, manifest.ErrNested):
				c.nested = append(c.nested, path.Dir(name))
				continue
			case errors.Is(err, manifest.ErrForeign):
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			published = append(published, m)
		case isRecord(name):
			data, err := getAll(ctx, c.loc.Destination, name)
			if err != nil {
				return err
			}
			m, err := manifest.ParseRecord(data)
			if err == nil && manifest.RecordName(m.Series, m.Number) != name {
				err = fmt.Errorf("%w: it records backup %s", manifest.ErrCorrupt, m.ID())
			}
			if err != nil {
				c.broken[name] = fmt.Errorf("%s: %w", name, err)
				continue
			}
			records = append(records, *m)
		}
	}
	all, err := manifest.Merge(published, records)
	c.all = all
	return err
}

func isRecord(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) == 3 && parts[0] == "brock" && strings.HasSuffix(name, ".json")
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

// pick selects a chain of the manifests, whatever its files. A series of which a
// commit record cannot be read is not looked at: it may say anything.
func (c *catalogue) pick(series string, number int) ([]manifest.Manifest, error) {
	chain, err := manifest.Chain(c.all, series, number)
	if err == nil {
		series = chain[0].Series
	}
	for _, name := range sorted(c.broken) {
		if series == "" || path.Dir(name) == path.Dir(manifest.RecordName(series, 1)) {
			err = &failure{c.broken[name], ErrDamaged, "bring the object back from another copy; another series can be chosen with --backup_id, or begun with --force-full"}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.loc.URI, err)
	}
	return chain, nil
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

// Listing is one backup as [Engine.List] shows it.
type Listing struct {
	Manifest manifest.Manifest
	Size     int64    // stored bytes of its data objects
	Sealed   bool     // every data object has a seal
	Missing  []string // data objects that are not there, or have the wrong size
}

// List returns the backups at loc, oldest first. A location without backups is
// an empty list; one that cannot be read is an error.
func (e *Engine) List(ctx context.Context, loc Location) ([]Listing, error) {
	c, err := e.catalogue(ctx, loc)
	if err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	list := make([]Listing, 0, len(c.all))
	for i := range c.all {
		m := &c.all[i]
		l := Listing{Manifest: *m, Sealed: len(m.Groups) > 0, Missing: c.missing(m)}
		if err := c.broken[manifest.RecordName(m.Series, m.Number)]; err != nil {
			l.Missing = append(l.Missing, err.Error())
		}
		for g := range m.Groups {
			l.Size += c.sizes[m.Object(g)]
			if _, ok := c.sizes[m.Seal(g)]; !ok {
				l.Sealed = false
			}
		}
		list = append(list, l)
	}
	return list, nil
}
