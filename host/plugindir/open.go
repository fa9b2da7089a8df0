package plugindir

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// Opened is a destination at one location. The destination also is an
// [sdk.Replacer], an [sdk.Prober] or an [sdk.Reporter] if its plugin is.
type Opened struct {
	Destination sdk.Destination
	URI         string // for messages: without user, password and settings
	Plugin      Plugin
}

// Close has the plugin forget the location and the settings it was opened with. The plugin
// itself runs on.
func (o *Opened) Close() error {
	if c, ok := o.Destination.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// OpenDestination opens the location that uri names: a plain path, or a URI
// whose scheme decides on the plugin and whose query holds settings of that
// plugin. A scheme that no plugin serves, or that two serve, is an
// [fs.ErrInvalid].
//
// The request holds settings that whoever asks has given beside the URI, as
// Dgraph's requests do with accessKey, secretKey, sessionToken and anonymous. What
// the URI says comes first, then the request, and then the environment of the
// plugin; credentials are not mixed from two of them. Empty values of the request
// give nothing.
func (d *Dirs) OpenDestination(ctx context.Context, uri string, request map[string]any) (*Opened, error) {
	loc, err := parseLocation(uri)
	if err != nil {
		return nil, err
	}
	plugin, err := d.serving(ctx, loc.scheme)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", loc.public, err)
	}
	proc, err := d.startToUse(ctx, plugin)
	if err != nil {
		return nil, err
	}
	if _, ok := request["uri"]; ok {
		return nil, invalid("name the location once", "%s: the settings name another location", loc.public)
	}
	settings := combine(loc.settings, request)
	settings["uri"] = loc.uri
	dest, err := proc.s.OpenDestination(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", loc.public, err)
	}
	return &Opened{Destination: dest, URI: loc.public, Plugin: plugin}, nil
}

// choose returns the plugin that pick picks, as it describes itself now. What it
// said before may be out of date, and it may not start any more: then everything
// is decided anew. Where nothing can be picked, no plugin is taken at its old word.
func (d *Dirs) choose(ctx context.Context, kind string, pick func([]Plugin) (Plugin, error)) (Plugin, error) {
	for known := d.remembered; ; {
		plugins := d.find(kind)
		d.ask(ctx, plugins, known)
		if err := ctx.Err(); err != nil {
			return Plugin{}, err
		}
		p, err := pick(plugins)
		if err != nil && known != nil {
			known = nil
			continue
		}
		if err != nil {
			return Plugin{}, err
		}
		desc, err := d.describe(ctx, p)
		if err == nil && same(desc, p.Description) {
			p.State = d.state(p)
			return p, nil
		}
	}
}

// serving returns the one destination plugin that serves scheme.
func (d *Dirs) serving(ctx context.Context, scheme string) (Plugin, error) {
	return d.choose(ctx, "destination", func(plugins []Plugin) (Plugin, error) {
		schemes := map[string][]Plugin{}
		for _, p := range plugins {
			for _, s := range p.Description.Schemes {
				schemes[s] = append(schemes[s], p)
			}
		}
		switch found := schemes[scheme]; len(found) {
		case 1:
			return found[0], nil
		case 0:
			if err := failed(plugins, "destination", scheme); err != nil {
				return Plugin{}, err
			}
			return Plugin{}, invalid(d.hint(plugins), "no plugin serves %s; there are plugins for %s; searched %s", named(scheme),
				list(slices.Sorted(maps.Keys(schemes)), named), list(d.dirs, nil))
		default:
			return Plugin{}, invalid("take one of them away", "%s %s served by two plugins, %s and %s", named(scheme), isAre(scheme), found[0].Path, found[1].Path)
		}
	})
}

// OpenKeyProvider opens the key provider of that name.
func (d *Dirs) OpenKeyProvider(ctx context.Context, name string, settings map[string]any) (sdk.KeyProvider, error) {
	plugin, err := d.choose(ctx, "keyprovider", func(plugins []Plugin) (Plugin, error) {
		var found []Plugin
		var known []string
		for _, p := range plugins {
			if p.Err != nil {
				continue
			}
			known = append(known, p.Description.Name)
			if p.Description.Name == name {
				found = append(found, p)
			}
		}
		switch len(found) {
		case 1:
			return found[0], nil
		case 0:
			if err := failed(plugins, "keyprovider", name); err != nil {
				return Plugin{}, err
			}
			return Plugin{}, invalid(d.hint(plugins), "no plugin for key provider %s; there are plugins for %s; searched %s", name, list(known, nil), list(d.dirs, nil))
		default:
			return Plugin{}, invalid("take one of them away", "two plugins are called %s: %s and %s", name, found[0].Path, found[1].Path)
		}
	})
	if err != nil {
		return nil, err
	}
	proc, err := d.startToUse(ctx, plugin)
	if err != nil {
		return nil, err
	}
	provider, err := proc.s.OpenKeyProvider(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("key provider %s: %w", name, err)
	}
	return provider, nil
}

// failed is why a plugin did not say what it is: the one that is called after what is
// looked for, or where no plugin said anything the first of them. Then no other
// command line helps, but the removal of the cause. A file that is not trusted was not
// asked.
func failed(plugins []Plugin, kind, wanted string) error {
	var first error
	alone := true
	for _, p := range plugins {
		if p.Err == nil {
			alone = false
		}
		if p.Err == nil || p.Trust == Refused {
			continue
		}
		if filepath.Base(p.Path) == prefixes[kind]+wanted {
			return p.Err
		}
		if first == nil {
			first = p.Err
		}
	}
	if alone {
		return first
	}
	return nil
}

// hint names the plugins that were set aside: one of them may be the one that
// is missed.
func (d *Dirs) hint(plugins []Plugin) string {
	var aside []string
	for _, p := range plugins {
		if p.Err != nil {
			reason := fmt.Sprintf("%s was set aside: %v", p.Path, p.Err)
			if hint := sdk.Hint(p.Err); hint != "" {
				reason += " (" + hint + ")"
			}
			aside = append(aside, reason)
		}
	}
	if len(aside) > 0 {
		return strings.Join(aside, "; ")
	}
	return "put the plugin into one of these directories, or name its directory with --plugin-dir or in " + EnvDir
}

func named(scheme string) string {
	if scheme == "" {
		return "plain paths"
	}
	return scheme + "://"
}

// isAre is the verb for what named returns.
func isAre(scheme string) string {
	if scheme == "" {
		return "are"
	}
	return "is"
}

// list joins names for a sentence.
func list(names []string, show func(string) string) string {
	if len(names) == 0 {
		return "nothing"
	}
	shown := slices.Clone(names)
	if show != nil {
		for i := range shown {
			shown[i] = show(shown[i])
		}
	}
	return strings.Join(shown, ", ")
}
