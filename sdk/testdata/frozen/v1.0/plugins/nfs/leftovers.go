package main

import (
	"maps"
	"path"
	"strings"
	"sync"
	"time"
)

// tmpPrefix begins the name of a file that is being written.
func tmpPrefix() string { return hidden + "tmp-" + thisBoot() + "-" }

// leftovers are hidden files that a List came across. Listing does not change a
// location; the next Put removes those whose writers are dead.
type leftovers struct {
	mu    sync.Mutex
	names map[string]bool
}

func (l *leftovers) note(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]bool{}
	}
	if len(l.names) < 10_000 {
		l.names[name] = true
	}
}

// collect removes what is left over, as far as it can: it is not what the caller
// was asked for.
func (l *leftovers) collect(d *destination, now time.Time) {
	l.mu.Lock()
	names := l.names
	l.names = nil
	l.mu.Unlock()
	if len(names) == 0 {
		return
	}
	root, err := d.open()
	if err != nil {
		return
	}
	defer root.Close()
	for name := range maps.Keys(names) {
		dir, base := path.Split(name)
		if !strings.HasPrefix(base, hidden) {
			continue
		}
		sub, err := root.OpenRoot(path.Join(dir, "."))
		if err != nil {
			continue
		}
		remove(sub, base, now, time.Minute, 24*time.Hour)
		sub.Close()
		d.prune(path.Clean(dir))
	}
}
