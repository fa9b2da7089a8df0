package plugindir

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/launch"
)

// Trust is why a plugin's file is trusted. Every file that is must belong to
// root or to this user and be writable by nobody else, and so must its
// directory.
type Trust string

// The kinds of trust. Open and Locked are also what an operator may ask for.
const (
	Open    Trust = "open"    // its directory has no lock: whatever lies there is taken
	Locked  Trust = "locked"  // its digest is pinned by its directory's lock, and only these bytes are executed
	Refused Trust = "refused" // it is not, and nothing of it is executed: Plugin.Err says why
)

// SetAside is the state of a plugin that cannot be used.
const SetAside launch.State = "set aside"

func (p *Plugin) refuse(err error) { p.Err, p.Trust = err, Refused }

// trusted returns why the file at path must not be run, or nil.
func trusted(path string) error {
	file, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case file.Mode().Type() == fs.ModeSymlink:
		return sdk.WithHint(fmt.Errorf("a symbolic link, not a regular file"), "put the file itself there")
	case !file.Mode().IsRegular():
		return fmt.Errorf("not a regular file")
	}
	if err := executable(file); err != nil {
		return err
	}
	return ours(file)
}

// trustedDir returns why nothing in a directory must be run, or nil: whoever may
// write to it, or move it away, decides what is there. With strict, whoever owns
// a directory above counts too, and a group that may write there.
func trustedDir(dir string, strict bool) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := ours(info); err != nil {
		return fmt.Errorf("its directory is %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return err
	}
	for _, below := range []string{abs, real} {
		for up := filepath.Dir(below); up != below; below, up = up, filepath.Dir(up) {
			info, err := os.Stat(up)
			if err != nil {
				return err
			}
			if err := oursAbove(info, strict); err != nil {
				return fmt.Errorf("its directory lies in %s, which is %w", up, err)
			}
		}
	}
	return nil
}
