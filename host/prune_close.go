package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// How a prune and a backup that run at the same time keep out of each other's way:
//
// A backup that continues a series takes the next number of it, by creating its commit
// record. Prune, before it removes the first object of a series, creates a closing under
// that very name. One of the two comes too late and is told so by the destination: the
// backup fails, and begins anew with the series that is the latest by then; or the
// series stays. So a chain never loses its beginning, however old the listing was that the
// backup began with.
//
// Prune lists pins after it has closed a series, and a pin is only said to hold if the series
// is not closed after it was stored. So one of the two sees the other.
//
// Whoever tells Dgraph of a backup looks, between reading the master manifest and replacing
// it, whether it still has its commit record and is not being removed.

// readClosing reads a closing. One that is broken still takes the next number of its
// series, which is damage like a broken commit record.
func (c *catalogue) readClosing(name string, data []byte) {
	closing, err := manifest.ParseClosing(data)
	if err == nil && manifest.RecordName(closing.Series, closing.Number) != name {
		err = fmt.Errorf("%w: it closes series %s", manifest.ErrCorrupt, closing.Series)
	}
	if err != nil {
		c.broken[name] = fmt.Errorf("%s: %w", name, err)
		return
	}
	c.closings[name] = closing
}

// closed reports whether a prune has begun to remove m, or was about to.
func (c *catalogue) closed(m *manifest.Manifest) bool {
	for _, closing := range c.closings {
		if closing.Series == m.Series && slices.Contains(closing.Paths, m.Path) {
			return true
		}
	}
	return false
}

// hideLeftovers takes out of the catalogue what was removed, and is still, or again, told of
// by a manifest that Dgraph reads.
func (c *catalogue) hideLeftovers() {
	if len(c.closings) == 0 {
		return
	}
	c.all = slices.DeleteFunc(c.all, func(m manifest.Manifest) bool {
		gone := m.Record == nil && c.closed(&m) && len(c.missing(&m)) > 0
		if gone {
			c.leftovers = append(c.leftovers, m)
		}
		return gone
	})
}

// standing returns those backups of ms that are still there, and of which no prune has
// begun to remove the series. What has no commit record is taken to be there.
func (c *catalogue) standing(ctx context.Context, ms []*manifest.Manifest) ([]*manifest.Manifest, error) {
	names := map[string]map[string]bool{} // by directory
	now := &catalogue{loc: c.loc, closings: map[string]*manifest.Closing{}, broken: map[string]error{}}
	ours := map[string]bool{}
	for _, m := range ms {
		ours[manifest.RecordName(m.Series, m.Number)] = m.Record != nil
	}
	for _, m := range ms {
		dir := path.Dir(manifest.RecordName(m.Series, m.Number))
		if names[dir] != nil {
			continue
		}
		var err error
		if names[dir], err = now.listDir(ctx, dir); err != nil {
			return nil, err
		}
		for _, name := range sorted(names[dir]) {
			if _, known := c.sizes[name]; known && c.closings[name] == nil || !isRecord(name) || ours[name] {
				continue
			}
			data, err := getAll(ctx, c.loc.Destination, name)
			if errors.Is(err, sdk.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if manifest.IsClosing(data) {
				now.readClosing(name, data)
			}
		}
	}
	return slices.DeleteFunc(ms, func(m *manifest.Manifest) bool {
		record := manifest.RecordName(m.Series, m.Number)
		return now.closed(m) || m.Record != nil && !names[path.Dir(record)][record]
	}), nil
}

// listDir lists the objects of one directory.
func (c *catalogue) listDir(ctx context.Context, dir string) (names map[string]bool, err error) {
	err = retry(ctx, func() error {
		names = map[string]bool{}
		for obj, err := range c.loc.Destination.List(ctx, dir+"/") {
			if err != nil {
				return err
			}
			names[obj.Name] = true
		}
		return nil
	})
	if errors.Is(err, sdk.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing: %w", about(dir, err))
	}
	return names, nil
}

// closeSeries takes the next number of a series, so that no backup can continue it. It
// is false if a backup has. Where Dgraph has given another series the same name later,
// nobody continues this one.
func (e *Engine) closeSeries(ctx context.Context, c *catalogue, s []*manifest.Manifest) (closed bool, err error) {
	last := s[len(s)-1]
	if c.closed(last) || !c.alone(last.Series, len(s)) {
		return true, nil
	}
	closing := &manifest.Closing{Series: last.Series, Number: last.Number + 1, Created: e.now().UTC()}
	for _, m := range s {
		closing.Paths = append(closing.Paths, m.Path)
	}
	data, err := manifest.EncodeClosing(closing)
	if err != nil {
		return false, err
	}
	name := manifest.RecordName(closing.Series, closing.Number)
	err = putNew(ctx, c.loc.Destination, name, data)
	if !errors.Is(err, sdk.ErrExist) {
		return err == nil, err
	}
	there, err := getAll(ctx, c.loc.Destination, name)
	if err != nil {
		return false, err
	}
	return manifest.IsClosing(there), nil
}
