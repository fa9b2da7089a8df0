package plugindir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// An Installation is what became of a plugin directory.
type Installation struct {
	Path        string          `json:"path"`
	Digest      Digest          `json:"sha256"`
	Was         Digest          `json:"was,omitzero"`     // of the file that was replaced; zero if there was none
	Backup      string          `json:"backup,omitempty"` // where that is now
	Lock        string          `json:"lock,omitempty"`   // that was brought up to date; "" if there is none
	Description sdk.Description `json:"plugin"`
}

// ErrDigest is the kind of error of a file that has not the digest it should.
var ErrDigest = errors.New("wrong digest")

// A plugin is installed under a name that no shell and no file system minds.
var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// maxPlugin bounds the memory that an installation takes.
const maxPlugin = 1 << 30

// Install puts a plugin file into a directory of d, or in another one, which it
// makes if need be. The file must have the digest, if that is not zero;
// otherwise nobody else may have been able to change it. It is read once: what
// was read is checked, asked what it is, and put in place, at once and for good.
// The file that was there before can be put back by Rollback. A lock of the
// directory then pins the new one.
//
// A plugin that could not be used there is refused, and so is one that serves
// what another one does already.
func (d *Dirs) Install(ctx context.Context, file, dir string, want Digest) (Installation, error) {
	data, err := readCandidate(file, want)
	if err != nil {
		return Installation{}, err
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // other users run brock, too
		return Installation{}, err
	}
	in, err := d.newInstaller(dir)
	if err != nil {
		return Installation{}, err
	}
	defer in.close()
	return in.put(ctx, filepath.Base(file), data)
}

// Rollback puts back the file that an Install has replaced, under the name of
// the plugin or of its file. Doing it twice changes nothing.
func (d *Dirs) Rollback(ctx context.Context, name, dir string) (Installation, error) {
	dir = filepath.Clean(dir)
	for _, program := range programs(name) {
		path := filepath.Join(dir, program)
		if _, err := os.Lstat(backupOf(path)); err != nil {
			continue
		}
		data, err := readCandidate(backupOf(path), Digest{})
		if err != nil {
			return Installation{}, err
		}
		in, err := d.newInstaller(dir)
		if err != nil {
			return Installation{}, err
		}
		defer in.close()
		return in.put(ctx, program, data)
	}
	return Installation{}, invalid("only what brock plugin install has replaced can be put back", "there is no earlier file of plugin %s in %s", name, dir)
}

// backupOf is where the file is kept that was replaced last. No plugin has such
// a name.
func backupOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".previous")
}

// readCandidate reads a file that is to become a plugin.
func readCandidate(path string, want Digest) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file: %w", path, fs.ErrInvalid)
	}
	if want == (Digest{}) {
		if err := ours(info); err != nil {
			return nil, invalid("say with --sha256 what it should be", "%s is %v", path, err)
		}
	}
	if info.Size() > maxPlugin {
		return nil, invalid("", "%s has %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if have := digestBytes(data); want != (Digest{}) && have != want {
		return nil, fmt.Errorf("%w: %s has SHA-256 %s, and not %s", ErrDigest, path, have, want)
	}
	return data, nil
}

// An installer puts files into one directory.
type installer struct {
	d     *Dirs
	dir   string
	stage string // a directory in dir, where files become what they will be
	lock  *Lock
}

func (d *Dirs) newInstaller(dir string) (*installer, error) {
	if err := trustedDir(dir, d.opts.Trust == Locked); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	lock, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	collectStages(dir)
	stage, err := os.MkdirTemp(dir, stagePrefix+"*")
	if err != nil {
		return nil, err
	}
	return &installer{d, dir, stage, lock}, nil
}

// collectStages removes what installations have left that were killed.
func collectStages(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, stagePrefix+"*"))
	for _, stage := range left {
		if info, err := os.Lstat(stage); err == nil && info.IsDir() && mine(info) && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(stage)
		}
	}
}

const stagePrefix = ".brock-install-"

func (in *installer) close() { _ = os.RemoveAll(in.stage) }

func (in *installer) put(ctx context.Context, file string, data []byte) (Installation, error) {
	staged := filepath.Join(in.stage, file)
	if err := writeProgram(staged, data); err != nil {
		return Installation{}, err
	}
	res := Installation{Digest: digestBytes(data)}
	var err error
	if res.Description, err = in.describe(ctx, staged, res.Digest); err != nil {
		return Installation{}, err
	}
	name, err := fileName(file, res.Description)
	if err != nil {
		return Installation{}, err
	}
	res.Path = filepath.Join(in.dir, name)
	if err := in.d.fits(ctx, res.Path, res.Description); err != nil {
		return Installation{}, err
	}
	if res.Was, err = in.keep(res.Path, res.Digest); err != nil {
		return Installation{}, err
	}
	if res.Was != (Digest{}) {
		res.Backup = backupOf(res.Path)
	}
	if err := os.Rename(staged, res.Path); err != nil {
		return Installation{}, err
	}
	if err := syncDir(in.dir); err != nil {
		return Installation{}, err
	}
	if in.lock == nil {
		return res, nil
	}
	pin, err := newPin(res.Path, res.Digest, res.Description)
	if err != nil {
		return Installation{}, err
	}
	in.lock.set(pin)
	if err := in.lock.write(in.dir); err != nil {
		return Installation{}, fmt.Errorf("%s is installed, and its lock is not up to date: %w", res.Path, err)
	}
	res.Lock = filepath.Join(in.dir, LockFile)
	return res, nil
}

// describe asks the staged file, and none that took its place, what it is.
func (in *installer) describe(ctx context.Context, staged string, digest Digest) (sdk.Description, error) {
	o := in.d.launchOptions(staged, in.d.opts.Env)
	o.Digest = digest
	p, err := launch.Start(ctx, staged, o)
	if err != nil {
		return sdk.Description{}, err
	}
	return p.Description(), p.Close()
}

// fileName is how a plugin's file is called: as it was, if that is a plugin's
// name.
func fileName(file string, desc sdk.Description) (string, error) {
	if kind, ok := kindOf(file); ok {
		if kind != desc.Kind {
			return "", fmt.Errorf("%s is named as a %s, but it is a %s: %w", file, kind, desc.Kind, sdk.ErrInvalid)
		}
		return file, nil
	}
	if !plainName.MatchString(desc.Name) {
		return "", invalid("name its file brock-"+desc.Kind+"-NAME", "the plugin calls itself %q, which is no file name", desc.Name)
	}
	name := prefixes[desc.Kind] + desc.Name
	if strings.HasSuffix(file, ".exe") {
		name += ".exe"
	}
	return name, nil
}

// fits makes sure that no plugin of another file name serves what the one at path
// will serve.
func (d *Dirs) fits(ctx context.Context, path string, desc sdk.Description) error {
	plugins := d.find(desc.Kind)
	d.ask(ctx, plugins, d.remembered)
	for _, p := range plugins {
		if p.Err != nil || p.Attached != "" || filepath.Base(p.Path) == filepath.Base(path) {
			continue
		}
		if desc.Kind == "keyprovider" && p.Description.Name == desc.Name {
			return invalid("take that away first", "two plugins would be called %s: %s and %s", desc.Name, p.Path, path)
		}
		for _, s := range p.Description.Schemes {
			if slices.Contains(desc.Schemes, s) {
				return invalid("take that away first", "%s would be served by two plugins, %s and %s", named(s), p.Path, path)
			}
		}
	}
	return nil
}

// keep makes a backup of the file that will be replaced, and returns its digest,
// which is zero if there is none, or if it is the same.
func (in *installer) keep(path string, digest Digest) (Digest, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Digest{}, nil
	}
	if err != nil {
		return Digest{}, err
	}
	if !info.Mode().IsRegular() {
		return Digest{}, fmt.Errorf("%s is in the way: it is not a regular file", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Digest{}, err
	}
	was := digestBytes(data)
	if was == digest {
		return Digest{}, nil
	}
	if in.lock != nil {
		if pin, ok := in.lock.pin(filepath.Base(path)); !ok || pin.SHA256 != was {
			return Digest{}, sdk.WithHint(fmt.Errorf("%s is not what %s pins, and is not kept as the file to go back to", path, LockFile),
				"find out what it is; once it is taken away, the new one can be installed")
		}
	}
	return was, replaceFile(backupOf(path), 0o755, data)
}

// writeProgram makes an executable file, whatever the umask.
func writeProgram(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // it is a program, also for others
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o755)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
