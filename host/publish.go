package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// casTries is how often the master manifest is read and written again because
// another writer was faster.
const casTries = 16

// accepts refuses a form that the location's readers could not cope with, before
// anything is written. Dgraph reads no backup of any other database.
func (c *catalogue) accepts(kind manifest.Kind, compat manifest.Compat) error {
	if kind != manifest.KindDgraph {
		return nil
	}
	if compat == manifest.CompatV20 {
		if _, ok := c.sizes[manifest.MasterName]; ok {
			return usage("use another location, or --compat v21 or v23",
				"%s has a master manifest, with which Dgraph 20.x cannot read it", c.loc.URI)
		}
		return nil
	}
	if _, ok := c.loc.Destination.(sdk.Replacer); !ok {
		return usage("use --compat v20, which needs none",
			"%s cannot replace an object, as the master manifest demands", c.loc.URI)
	}
	return nil
}

// publish tells Dgraph of every committed backup that its manifests do not
// name: of each in its own directory in v20 form, of all in the master manifest
// otherwise.
func (c *catalogue) publish(ctx context.Context) error {
	var masters bool
	for i := range c.all {
		m := &c.all[i]
		if !c.unpublished(m) {
			continue
		}
		if manifest.Compat(m.Record.Compat) != manifest.CompatV20 {
			masters = true
			continue
		}
		there, err := c.standing(ctx, []*manifest.Manifest{m})
		if err != nil {
			return err
		}
		if len(there) == 0 {
			continue
		}
		if err := c.publishSingle(ctx, m); err != nil {
			return err
		}
		m.Published = true
	}
	if !masters {
		return nil
	}
	return c.publishMaster(ctx)
}

func (c *catalogue) publishSingle(ctx context.Context, m *manifest.Manifest) error {
	data, err := manifest.EncodeSingle(m)
	if err != nil {
		return err
	}
	return putNew(ctx, c.loc.Destination, m.Path+"/"+manifest.MasterName, data)
}

// publishMaster adds to the master manifest what it does not list, unless a prune is taking
// it away.
func (c *catalogue) publishMaster(ctx context.Context) error {
	err := c.extendMaster(ctx, func(ms []*manifest.Manifest) ([]*manifest.Manifest, error) {
		ms = slices.DeleteFunc(ms, func(m *manifest.Manifest) bool { return m.Published && !m.Single }) // it was listed, and is no more
		return c.standing(ctx, ms)
	})
	if err != nil {
		return err
	}
	for i := range c.all {
		c.all[i].Published = true
	}
	return nil
}

// extendMaster adds to the master manifest those backups that may, of the ones that it
// does not list. It asks anew after each time it has read the master.
func (c *catalogue) extendMaster(ctx context.Context, may func([]*manifest.Manifest) ([]*manifest.Manifest, error)) error {
	replacer, ok := c.loc.Destination.(sdk.Replacer)
	if !ok {
		return fmt.Errorf("the destination cannot replace objects: %w", sdk.ErrUnsupported)
	}
	return c.changeMaster(ctx, replacer, func(old []byte) ([]byte, error) {
		listed := map[string]bool{}
		if old != nil {
			ms, err := manifest.ParseMaster(old)
			if err != nil {
				return nil, err
			}
			for _, m := range ms {
				listed[m.Path] = true
			}
		}
		var all, missing []*manifest.Manifest
		for i := range c.all {
			if m := &c.all[i]; m.Kind == manifest.KindDgraph {
				all = append(all, m)
				if !listed[m.Path] {
					missing = append(missing, m)
				}
			}
		}
		add, err := may(missing)
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(m *manifest.Manifest) bool { return !listed[m.Path] && !slices.Contains(add, m) })
		return manifest.AppendMaster(old, all...)
	})
}

// changeMaster rewrites the master manifest by compare-and-swap, and removes the
// summary that Dgraph 25 makes of it: listings would be read from there.
func (c *catalogue) changeMaster(ctx context.Context, r sdk.Replacer, change func(old []byte) ([]byte, error)) error {
	for range casTries {
		err := swapMaster(ctx, c.loc.Destination, r, change)
		if errors.Is(err, sdk.ErrConflict) {
			continue
		}
		if err != nil {
			return about(manifest.MasterName, err)
		}
		return c.removeSummary(ctx)
	}
	return fmt.Errorf("%s: another writer was faster %d times: %w", manifest.MasterName, casTries, sdk.ErrConflict)
}

// removeSummary is no error where nothing may be deleted, and there is none.
func (c *catalogue) removeSummary(ctx context.Context) error {
	err := retry(ctx, func() error { return c.loc.Destination.Delete(ctx, manifest.SummaryName) })
	if _, listed := c.sizes[manifest.SummaryName]; errors.Is(err, sdk.ErrPermission) && !listed {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s, from which Dgraph lists backups, is out of date now and cannot be removed: %w", manifest.SummaryName, err)
	}
	return nil
}

// swapMaster changes the master manifest, which nil is until there is one.
func swapMaster(ctx context.Context, d sdk.Destination, r sdk.Replacer, change func(old []byte) ([]byte, error)) error {
	var version string
	err := retry(ctx, func() (err error) {
		version, err = r.Version(ctx, manifest.MasterName)
		return err
	})
	if err != nil {
		return err
	}
	var old []byte
	if version != "" {
		if old, err = getAll(ctx, d, manifest.MasterName); err != nil {
			return err
		}
	}
	data, err := change(old)
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	return retry(ctx, func() error {
		_, err := r.Replace(ctx, manifest.MasterName, bytes.NewReader(data), version)
		return err
	})
}
