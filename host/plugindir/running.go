package plugindir

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk/launch"
)

// States are all that a running plugin can have.
func States() []launch.State {
	return []launch.State{launch.Idle, launch.Starting, launch.Ready, launch.Backoff, launch.Quarantined}
}

// Running is a plugin that was started.
type Running struct {
	Name     string // of its file, without .exe: brock-destination-s3
	State    launch.State
	Restarts uint64 // how often it was started again after a crash
}

// Running returns the plugins that were started, by name. It starts none, and asks none.
func (d *Dirs) Running() []Running {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Running
	for path, proc := range d.started {
		if proc.s != nil {
			all = append(all, Running{strings.TrimSuffix(filepath.Base(path), ".exe"), proc.s.State(), proc.s.Restarts()})
		}
	}
	slices.SortFunc(all, func(a, b Running) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
