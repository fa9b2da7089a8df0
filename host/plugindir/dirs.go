// Package plugindir knows which plugin programs there are and whose a location
// is.
//
// A plugin is one executable file in a plugin directory, named
// brock-destination-<name> or brock-keyprovider-<name>. Directories are
// searched in order and not recursively; of two files of one name the first is
// taken, as in PATH. A file that somebody else could have put or changed there
// is set aside with the reason, and so is one that does not start: the host
// goes on without it.
//
// What a plugin is called and which schemes it serves, it says itself: it is
// started and asked. Two plugins that claim one scheme are an error, never a
// choice.
package plugindir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// Options are what every plugin process gets.
type Options struct {
	Logger hclog.Logger // what plugins log; nothing if nil
	Env    []string     // NAME=value, beyond the few variables that every plugin gets

	// LogLevels are what of it Logger shows, by the name of a plugin or of its
	// file; "" is for all others. Default: Logger's level. Logger must have been
	// made with IndependentLevels.
	LogLevels map[string]hclog.Level

	LogDir   string            // keeps what they write to standard error; default: nowhere. See LogDir
	TraceDir string            // gets a file with every call of every process; default: none
	Attached map[string]string // by name, the files of plugins that run already: see launch.ReadAttachment
}

// Dirs is a list of plugin directories and the plugins started from them. A
// plugin is started at most once, when it is first asked for something, and
// runs until Close.
type Dirs struct {
	dirs []string
	opts Options

	mu      sync.Mutex
	started map[string]*process
	logs    []*logFile
}

// A process is a plugin's one start.
type process struct {
	once sync.Once
	p    *launch.Process
	err  error
}

// A Plugin is one file of a plugin directory.
type Plugin struct {
	Path        string
	Attached    string          // the file of one that runs already; "" for all others
	Description sdk.Description // what it says of itself; empty with Err
	Err         error           // why it was set aside; nil if it can be used
}

// New returns the plugins of dirs, in that order. It looks at no file yet.
func New(dirs []string, o Options) *Dirs {
	d := &Dirs{opts: o, started: map[string]*process{}}
	for _, dir := range dirs {
		if dir = filepath.Clean(dir); !slices.Contains(d.dirs, dir) {
			d.dirs = append(d.dirs, dir)
		}
	}
	return d
}

// EnvDir is the environment variable that lists plugin directories to be
// searched first.
const EnvDir = "BROCK_PLUGIN_DIR"

// DefaultDirs returns where plugins are looked for when nobody says otherwise:
// the directories in BROCK_PLUGIN_DIR, the directory plugins beside the
// program, and /usr/local/lib/brock/plugins.
func DefaultDirs() []string {
	dirs := filepath.SplitList(os.Getenv(EnvDir))
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "plugins"))
	}
	return append(dirs, "/usr/local/lib/brock/plugins")
}

// Searched returns the plugin directories, for messages.
func (d *Dirs) Searched() []string { return slices.Clone(d.dirs) }

// File name prefixes of the kinds of plugin, by what Describe calls them.
var prefixes = map[string]string{
	"destination": "brock-destination-",
	"keyprovider": "brock-keyprovider-",
}

// Plugins returns every plugin there is, those set aside included, in the
// order of the search. A directory that does not exist is empty; one that
// cannot be read is an error.
func (d *Dirs) Plugins(ctx context.Context) ([]Plugin, error) {
	plugins, err := d.find("")
	if err != nil {
		return nil, err
	}
	d.describe(ctx, plugins)
	return plugins, nil
}

// find lists the plugin files of one kind, or of all, without starting any.
func (d *Dirs) find(kind string) ([]Plugin, error) {
	plugins := d.attached(kind)
	first := map[string]string{} // path of the file taken, by file name
	for _, dir := range d.dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("plugin directory: %w", err)
		}
		for _, e := range entries {
			k, ok := kindOf(e.Name())
			if !ok || kind != "" && k != kind {
				continue
			}
			if d.isAttached(e.Name()) {
				continue
			}
			p := Plugin{Path: filepath.Join(dir, e.Name())}
			if p.Err = trusted(p.Path); p.Err == nil {
				if other, taken := first[e.Name()]; taken {
					p.Err = fmt.Errorf("hidden by %s", other)
				} else {
					first[e.Name()] = p.Path
				}
			}
			plugins = append(plugins, p)
		}
	}
	return plugins, nil
}

func kindOf(file string) (kind string, ok bool) {
	file = strings.TrimSuffix(file, ".exe")
	for kind, prefix := range prefixes {
		if name, found := strings.CutPrefix(file, prefix); found && name != "" {
			return kind, true
		}
	}
	return "", false
}

// describe starts the plugins that were not set aside, all at once, and notes
// what each says or why it does not.
func (d *Dirs) describe(ctx context.Context, plugins []Plugin) {
	var wg sync.WaitGroup
	for i := range plugins {
		p := &plugins[i]
		if p.Err != nil {
			continue
		}
		wg.Go(func() {
			proc, err := d.start(ctx, p.Path)
			if err != nil {
				p.Err = err
				return
			}
			desc := proc.Description()
			if kind, _ := kindOf(filepath.Base(p.Path)); kind != desc.Kind {
				p.Err = fmt.Errorf("named as a %s, but it is a %s", kind, desc.Kind)
				return
			}
			p.Description = desc
		})
	}
	wg.Wait()
}

// start returns the running plugin at path. A start that failed is not tried
// again, except where it was cut short from outside.
func (d *Dirs) start(ctx context.Context, path string) (*launch.Process, error) {
	d.mu.Lock()
	proc, ok := d.started[path]
	if !ok {
		proc = new(process)
		d.started[path] = proc
	}
	d.mu.Unlock()
	proc.once.Do(func() {
		proc.p, proc.err = launch.Start(ctx, path, d.launchOptions(path))
	})
	if proc.err != nil && ctx.Err() != nil {
		d.mu.Lock()
		if d.started[path] == proc {
			delete(d.started, path)
		}
		d.mu.Unlock()
	}
	return proc.p, proc.err
}

// Close ends every plugin that was started.
func (d *Dirs) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, proc := range d.started {
		if proc.p != nil {
			errs = append(errs, proc.p.Close())
		}
	}
	clear(d.started)
	for _, l := range d.logs {
		errs = append(errs, l.Close())
	}
	d.logs = nil
	return errors.Join(errs...)
}
