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
// What a plugin is called and which schemes it serves, it says itself. It is
// started and asked once, and what it said is remembered for the file with that
// digest, so that a command starts the plugins that it uses and no others. Two
// plugins that claim one scheme are an error, never a choice.
//
// A directory may have a lock, the file plugins.lock, which lists its plugins
// with their digests. Then nothing else in it is executed.
package plugindir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// Options are what every plugin process gets.
type Options struct {
	Logger hclog.Logger // what plugins log; nothing if nil
	Env    []string     // NAME=value, for every plugin, beyond those that Variables tells

	// LogLevels are what of it Logger shows, by the name of a plugin or of its
	// file; "" is for all others. Default: Logger's level. Logger must have been
	// made with IndependentLevels.
	LogLevels map[string]hclog.Level

	// Trust decides on directories without a lock. Locked sets aside all that is
	// there; by default they are taken for what they are.
	Trust Trust

	CacheDir string // keeps what plugins say of themselves; default: nowhere. See CacheDir

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

	cache func() *cache
	now   func() time.Time

	mu       sync.Mutex
	started  map[string]*process
	logs     []*logFile
	unlocked map[string]bool // directories without a lock that the log has named

	restart sync.Mutex // held while a plugin is started once more

	anew bool // no lock counts: one is being made
}

// A process is a plugin's one start.
type process struct {
	once sync.Once
	s    *launch.Supervisor // nil with err
	env  []string           // that it was given
	desc sdk.Description
	err  error

	failed time.Time // with err: since when; guarded by Dirs.mu
}

// A Plugin is one file of a plugin directory.
type Plugin struct {
	Path        string
	Attached    string          // the file of one that runs already; "" for all others
	Description sdk.Description // what it says of itself; empty with Err
	Err         error           // why it was set aside; nil if it can be used

	Trust  Trust
	Digest Digest       // of the file; zero if it was not needed
	State  launch.State // what it is doing
}

// New returns the plugins of dirs, in that order. It looks at no file yet. An
// empty name is that of no directory: a variable was not set.
func New(dirs []string, o Options) *Dirs {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	d := &Dirs{opts: o, now: time.Now, started: map[string]*process{}, unlocked: map[string]bool{}}
	d.cache = sync.OnceValue(func() *cache { return openCache(o.CacheDir) })
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
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

// Plugins starts every plugin there is and asks it what it is. It returns those
// set aside as well, in the order of the search, and a directory that cannot be
// read as one of them; one that does not exist is empty. What plugins once said
// does not count.
func (d *Dirs) Plugins(ctx context.Context) ([]Plugin, error) {
	plugins := d.find("")
	d.ask(ctx, plugins, nil)
	return plugins, ctx.Err()
}

// find lists the plugin files of one kind, or of all, without starting any.
func (d *Dirs) find(kind string) []Plugin {
	plugins := d.attached(kind)
	for i := range plugins {
		if plugins[i].Trust = Open; d.opts.Trust == Locked {
			plugins[i].refuse(sdk.WithHint(errors.New("it runs already, so that no lock can pin it"), "leave out --plugin-trust=locked to debug a plugin"))
		}
	}
	first := map[string]string{} // path of the file taken, by file name
	for _, dir := range d.dirs {
		for _, p := range d.findIn(dir, kind) {
			file := filepath.Base(p.Path)
			if d.isAttached(file) {
				continue
			}
			if other, taken := first[file]; p.Err == nil && taken {
				p.Err = fmt.Errorf("hidden by %s", other)
			} else if p.Err == nil {
				first[file] = p.Path
			}
			plugins = append(plugins, p)
		}
	}
	for i := range plugins {
		plugins[i].State = d.state(plugins[i])
	}
	return plugins
}

// findIn lists the plugin files of one directory.
func (d *Dirs) findIn(dir, kind string) []Plugin {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []Plugin{{Path: dir, Err: err, Trust: Refused}}
	}
	err = trustedDir(dir, d.opts.Trust == Locked)
	var lock *Lock
	if err == nil && !d.anew {
		lock, err = readLock(dir)
	}
	var plugins []Plugin
	for _, e := range entries {
		k, ok := kindOf(e.Name())
		if !ok || kind != "" && k != kind {
			continue
		}
		p := Plugin{Path: filepath.Join(dir, e.Name()), Trust: Open}
		if why := cmp.Or(trusted(p.Path), err); why != nil {
			p.refuse(why)
		} else {
			d.pin(&p, lock)
		}
		plugins = append(plugins, p)
	}
	return plugins
}

// pin compares a file with the lock of its directory. Its bytes are compared
// when they are executed.
func (d *Dirs) pin(p *Plugin, lock *Lock) {
	dir, file := filepath.Split(p.Path)
	dir = filepath.Clean(dir)
	if lock == nil {
		if d.opts.Trust == Locked {
			p.refuse(sdk.WithHint(errors.New("its directory has no "+LockFile), "brock plugin lock --plugin-dir "+dir+" makes one of what lies there now"))
		}
		return
	}
	pin, ok := lock.pin(file)
	if !ok {
		p.refuse(sdk.WithHint(fmt.Errorf("%s does not list it", filepath.Join(dir, LockFile)), "if you know where it is from: brock plugin lock --plugin-dir "+dir))
		return
	}
	p.Trust, p.Digest = Locked, pin.SHA256
}

// state is what a plugin is doing.
func (d *Dirs) state(p Plugin) launch.State {
	if p.Err != nil {
		return SetAside
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if proc := d.started[p.Path]; proc != nil && proc.s != nil {
		return proc.s.State()
	}
	return launch.Idle
}

// Named returns the kind and the name of the plugin that a file is called after,
// or "" of one that no plugin has.
func Named(path string) (kind, name string) {
	file := strings.TrimSuffix(filepath.Base(path), ".exe")
	kind, ok := kindOf(file)
	if !ok {
		return "", ""
	}
	return kind, strings.TrimPrefix(file, prefixes[kind])
}

// Names returns the names of the plugins that there are files of, sorted, those
// that were set aside among them. It starts none.
func (d *Dirs) Names() []string {
	var names []string
	for _, p := range d.find("") {
		if _, name := Named(p.Path); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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

// ask notes what each of the plugins that were not set aside says of itself, or
// why it does not. It starts those of which nothing is known, all at once. A
// plugin that runs has the last word; known may be nil.
func (d *Dirs) ask(ctx context.Context, plugins []Plugin, known func(Plugin) (sdk.Description, bool)) {
	var wg sync.WaitGroup
	for i := range plugins {
		p := &plugins[i]
		if p.Err != nil {
			continue
		}
		wg.Go(func() {
			if known == nil || d.cache() != nil {
				d.identify(p)
			}
			var desc sdk.Description
			ok := false
			if known != nil && !d.isStarted(p.Path) {
				desc, ok = known(*p)
			}
			if !ok {
				desc, p.Err = d.describe(ctx, *p)
			}
			if changed := (*launch.ChangedError)(nil); errors.As(p.Err, &changed) {
				p.Trust = Refused
			}
			if kind, _ := kindOf(filepath.Base(p.Path)); p.Err == nil && kind != desc.Kind {
				p.Err = fmt.Errorf("named as a %s, but it is a %s", kind, desc.Kind)
			}
			if p.State = d.state(*p); p.Err == nil {
				p.Description = desc
			}
		})
	}
	wg.Wait()
}

// identify finds out the digest of a file that no lock pins.
func (d *Dirs) identify(p *Plugin) {
	if p.Trust != Open || p.Attached != "" {
		return
	}
	digest, err := d.cache().digest(p.Path)
	if err != nil {
		p.Err = err
		return
	}
	p.Digest = digest
}

// remembered is what a plugin said when it was last asked.
func (d *Dirs) remembered(p Plugin) (sdk.Description, bool) {
	if p.Digest == (Digest{}) {
		return sdk.Description{}, false
	}
	return d.cache().description(p.Digest)
}

// describe asks a plugin what it is.
func (d *Dirs) describe(ctx context.Context, p Plugin) (sdk.Description, error) {
	proc, err := d.start(ctx, p)
	if err != nil {
		return sdk.Description{}, err
	}
	return proc.desc, nil
}

func (d *Dirs) isStarted(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started[path] != nil
}

// failedFor is how long a start that failed is not tried again: what killed the plugin may
// have gone by then, and the host lives for months.
const failedFor = 10 * time.Second

// start returns the running plugin, with the variables of what was known of it
// when it was started. A start that failed is not tried again for a while, except where it
// was cut short from outside.
func (d *Dirs) start(ctx context.Context, p Plugin) (*process, error) {
	d.mu.Lock()
	proc, ok := d.started[p.Path]
	if !ok || !proc.failed.IsZero() && d.now().Sub(proc.failed) > failedFor {
		proc = new(process)
		d.started[p.Path] = proc
	}
	d.mu.Unlock()
	proc.once.Do(func() { d.begin(ctx, p, proc) })
	if proc.err != nil && ctx.Err() != nil {
		d.mu.Lock()
		if d.started[p.Path] == proc {
			delete(d.started, p.Path)
		}
		d.mu.Unlock()
	}
	return proc, proc.err
}

func (d *Dirs) begin(ctx context.Context, p Plugin, proc *process) {
	proc.env = d.environment(p.Description)
	o := d.launchOptions(p.Path, proc.env)
	if p.Trust == Locked || d.anew {
		o.Digest = p.Digest
	} else {
		d.notice(p)
	}
	s := launch.NewSupervisor(p.Path, o)
	if proc.desc, proc.err = s.Description(ctx); proc.err != nil {
		_ = s.Close() // the start's own error is the cause
		d.mu.Lock()
		proc.failed = d.now()
		d.mu.Unlock()
		return
	}
	d.mu.Lock()
	proc.s = s
	d.mu.Unlock()
	if p.Digest != (Digest{}) {
		d.cache().describe(p.Digest, proc.desc)
	}
}

// notice says, once of each directory, that it has no lock.
func (d *Dirs) notice(p Plugin) {
	dir := filepath.Dir(p.Path)
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Attached == "" && !d.unlocked[dir] {
		d.unlocked[dir] = true
		d.opts.Logger.Info("the plugins are not locked; brock plugin lock pins what is there now", "dir", dir)
	}
}

// Close ends every plugin that was started.
func (d *Dirs) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, proc := range d.started {
		if proc.s != nil {
			errs = append(errs, proc.s.Close())
		}
	}
	clear(d.started)
	d.cache().close()
	d.cache = func() *cache { return nil }
	for _, l := range d.logs {
		errs = append(errs, l.Close())
	}
	d.logs = nil
	return errors.Join(errs...)
}
