package plugindir

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/brock-backup/brock/sdk/launch"
)

// A Resolved is a location and the plugin that serves it.
type Resolved struct {
	Plugin   Plugin
	URI      string   // for messages: without user, password and settings
	Settings []string // the names of those that the location gives
	Request  []string // and of those that the request gives
}

// Resolve returns which plugin serves the location that uri names, and which of
// its settings are given; see [Dirs.OpenDestination]. It opens nothing.
func (d *Dirs) Resolve(ctx context.Context, uri string, request map[string]any) (Resolved, error) {
	loc, err := parseLocation(uri)
	if err != nil {
		return Resolved{}, err
	}
	plugin, err := d.serving(ctx, loc.scheme)
	if err != nil {
		return Resolved{}, fmt.Errorf("%s: %w", loc.public, err)
	}
	names := append([]string{"uri"}, slices.Sorted(maps.Keys(loc.settings))...)
	return Resolved{plugin, loc.public, names, ofRequest(loc.settings, request)}, nil
}

// Pid returns the process id of a plugin, which it starts if need be.
func (d *Dirs) Pid(ctx context.Context, p Plugin) (int, error) {
	proc, err := d.startToUse(ctx, p)
	if err != nil {
		return 0, err
	}
	return proc.s.Pid(ctx)
}

// EveryPluginSees returns the names of the environment variables of the host
// that every plugin gets.
func EveryPluginSees() []string { return launch.Environment() }
