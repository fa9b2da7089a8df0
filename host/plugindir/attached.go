package plugindir

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk/launch"
)

// attached lists the plugins that run already, of one kind or of all. Each takes
// the place of the file that bears its name, whether there is one or not.
func (d *Dirs) attached(kind string) []Plugin {
	var plugins []Plugin
	for _, name := range slices.Sorted(maps.Keys(d.opts.Attached)) {
		file := d.opts.Attached[name]
		p := Plugin{Path: file, Attached: file}
		a, err := launch.ReadAttachment(file)
		switch prefix := prefixes[a.Kind]; {
		case err != nil:
			p.Err = fmt.Errorf("attached as %s: %w", name, err)
		case a.Name != name:
			p.Err = fmt.Errorf("attached as %s, but it is %s", name, a.Name)
		case prefix == "":
			p.Err = fmt.Errorf("attached as %s, but it is of a kind unknown to this version of Brock, %q", name, a.Kind)
		case kind != "" && kind != a.Kind:
			continue
		default:
			p.Path = prefix + name
		}
		plugins = append(plugins, p)
	}
	return plugins
}

// isAttached reports whether a file of a plugin directory stands back for a
// plugin that runs already. It does even for one that has gone: whoever debugs a
// plugin does not want to use another one unawares.
func (d *Dirs) isAttached(file string) bool {
	for name, attachment := range d.opts.Attached {
		a, err := launch.ReadAttachment(attachment)
		for kind, prefix := range prefixes {
			if (err != nil || kind == a.Kind) && prefix+name == strings.TrimSuffix(file, ".exe") {
				return true
			}
		}
	}
	return false
}

// launchOptions are how the plugin at path is run.
func (d *Dirs) launchOptions(path string, env []string) launch.Options {
	o := launch.Options{Logger: d.opts.Logger, Env: env, TraceDir: d.opts.TraceDir}
	program := strings.TrimSuffix(filepath.Base(path), ".exe")
	d.setLogLevel(&o, program)
	for _, prefix := range prefixes { // the path of an attached one has no directory
		if name, ok := strings.CutPrefix(path, prefix); ok {
			o.Reattach = d.opts.Attached[name]
		}
	}
	if l := newLogFile(d.opts.LogDir, program); l != nil {
		o.Stderr = l
		d.mu.Lock()
		d.logs = append(d.logs, l)
		d.mu.Unlock()
	}
	return o
}
