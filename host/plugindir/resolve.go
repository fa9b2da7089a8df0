package plugindir

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// A Resolved is a location and the plugin that serves it.
type Resolved struct {
	Plugin   Plugin
	URI      string   // for messages: without user, password and settings
	Settings []string // the names of those that the location gives
}

// Resolve returns which plugin serves the location that uri names. It opens
// nothing.
func (d *Dirs) Resolve(ctx context.Context, uri string) (Resolved, error) {
	loc, err := parseLocation(uri)
	if err != nil {
		return Resolved{}, err
	}
	plugin, err := d.serving(ctx, loc.scheme)
	if err != nil {
		return Resolved{}, fmt.Errorf("%s: %w", loc.public, err)
	}
	return Resolved{plugin, loc.public, append([]string{"uri"}, slices.Sorted(maps.Keys(loc.settings))...)}, nil
}

// Pid returns the process id of a plugin, which it starts if need be.
func (d *Dirs) Pid(ctx context.Context, p Plugin) (int, error) {
	proc, err := d.startToUse(ctx, p)
	if err != nil {
		return 0, err
	}
	return proc.s.Pid(ctx)
}
