package manifest

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
)

// Names of the objects in the root of a location that Dgraph rewrites.
const (
	MasterName  = "manifest.json"         // since 21.03: every backup
	SummaryName = "manifest_summary.json" // since 25.3.4: the same without groups, for listings; stale once the master changes
)

// Kinds of failure.
var (
	// ErrNoBackup means that there is no backup of that name.
	ErrNoBackup = errors.New("no such backup")

	// ErrGap means that backups are missing from a series.
	ErrGap = errors.New("series has a gap")

	// ErrCorrupt means that a manifest, or a series, is not what any writer
	// leaves behind.
	ErrCorrupt = errors.New("corrupt manifest")

	// ErrNewer means that a later version of Brock or Dgraph wrote this.
	ErrNewer = errors.New("of a later version")

	// ErrUnfit means that a backup cannot be told in the form it should be
	// written in. Another Compat may do.
	ErrUnfit = errors.New("cannot be written")

	// ErrForeign means a manifest.json with not one key of Dgraph's: that of a web
	// page, perhaps. It says nothing about backups.
	ErrForeign = errors.New("not a manifest of backups")

	// ErrNested means that a backup's own manifest was expected and a master
	// manifest found: its directory is a location of its own.
	ErrNested = errors.New("a master manifest, so its directory is a location of its own")
)

// A Kind says what a backup's entries are.
type Kind string

// The kinds there are.
const (
	KindDgraph Kind = "dgraph" // posting lists, schema and types, which Dgraph reads
	KindBadger Kind = "badger" // keys and values of any other Badger database
)

// A Manifest records one backup. It is written last: a backup without a
// manifest never happened.
type Manifest struct {
	Series      string                        // the full backup and its incrementals share it
	Number      int                           // place in the series; 1 is the full backup
	Since       uint64                        // read timestamp of the backup before; 0 in a full one
	ReadTs      uint64                        // the moment this backup shows
	Full        bool                          // as opposed to incremental
	Groups      map[uint32][]dgraph.Predicate // what each group owned; a group may be empty
	Path        string                        // directory of its objects; "" is the location itself
	Encrypted   bool                          // every object, with one data key
	Compression string                        // as claimed; readers look at the bytes
	Form        dgraph.Form                   // how Dgraph's manifest writes names
	Drops       []dgraph.Drop                 // since the backup before, in no order
	Kind        Kind                          // never mixed within a series
	Record      *Record                       // the commit record; nil for a backup made by Dgraph
	Published   bool                          // found in a manifest that Dgraph reads
	Single      bool                          // found in a manifest of its own, as 20.x writes them
}

// ID names the backup for people: series/number.
func (m *Manifest) ID() string {
	return m.Series + "/" + strconv.Itoa(m.Number)
}

// Object names the file that holds a group's entries.
func (m *Manifest) Object(group uint32) string {
	return path.Join(m.Path, fmt.Sprintf("r%d-g%d.backup", m.ReadTs, group))
}

// Seal names the object that vouches for a group's file.
func (m *Manifest) Seal(group uint32) string {
	return path.Join(m.Path, fmt.Sprintf("r%d-g%d.seal", m.ReadTs, group))
}

// dirLayout is the form of backup directories' names since 20.03. Go's layouts know
// milliseconds only after a point, so the name sorts by time.
const dirLayout = "dgraph.20060102.150405.000"

// DirName returns the name of a backup's directory, as Dgraph chooses it.
func DirName(t time.Time) string {
	return t.UTC().Format(dirLayout)
}

// DirTime is the inverse of DirName.
func DirTime(dir string) (t time.Time, ok bool) {
	t, err := time.Parse(dirLayout, dir)
	return t, err == nil
}

// Taken returns when m was taken, as far as it tells: as its record says, or else
// the name of its directory.
func (m *Manifest) Taken() time.Time {
	if m.Record != nil && !m.Record.Created.IsZero() {
		return m.Record.Created
	}
	t, _ := DirTime(path.Base(m.Path))
	return t
}

// IsObject reports whether a backup makes objects of that name: the data of a
// group, the seal of one, and the list of what was damaged.
func IsObject(name string) bool { return objectName.MatchString(path.Base(name)) }

var objectName = regexp.MustCompile(`^(r[0-9]+-g[0-9]+\.(backup|seal)|damaged\.txt)$`)
