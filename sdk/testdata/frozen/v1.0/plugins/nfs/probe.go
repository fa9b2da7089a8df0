package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/brock-backup/brock/sdk"
)

// Probe writes a file the way Put does, and removes it together with the
// directories that had to be made for it.
func (d *destination) Probe(ctx context.Context) error {
	made, err := d.makeLocation()
	defer func() {
		for _, dir := range slices.Backward(made) {
			_ = os.Remove(dir)
		}
	}()
	if err != nil {
		return err
	}
	if err := d.probe(ctx); err != nil {
		return fmt.Errorf("location %s: %w", d.path, err)
	}
	return ctx.Err()
}

func (d *destination) probe(ctx context.Context) error {
	u, err := d.create(ctx, "probe")
	if err != nil {
		return err
	}
	defer u.close()
	if _, err := u.file.WriteString("probe"); err != nil {
		return kind("writing", err)
	}
	if err := u.file.Sync(); err != nil {
		return kind("writing", err)
	}
	if data, err := u.dir.ReadFile(u.tmp); err != nil || string(data) != "probe" {
		return kind("reading back", errors.Join(err, sdk.ErrUnavailable))
	}
	_, err = readDir(u.dir)
	return kind("listing", err)
}
