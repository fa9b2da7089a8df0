package badgerdb

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// Options say how a source is opened.
type Options struct {
	Logger        hclog.Logger  // nil: none
	EncryptionKey sdk.Secret    // of an encrypted database: 16, 24 or 32 bytes
	Memory        int64         // what buffers may take together; 0: 256 MiB
	Kind          manifest.Kind // "": found out from the keys
	ReadTs        uint64        // 0: the newest there is
	AcceptDamaged bool          // leave out what cannot be read, and name it in Damaged
	ReadWrite     bool          // read a database that was killed as its next start would find it; nothing is changed
	OnClose       func()        // called by Close, once
}

// A Source is one database at one read timestamp: a Badger directory for each of its
// groups. Its methods may be used concurrently.
type Source struct {
	opt    Options
	kind   manifest.Kind
	readTs uint64
	now    time.Time // decides what is expired, for all ranges alike
	groups map[uint32]*group

	mu      sync.Mutex
	damaged []string
	seen    map[string]bool
}

// A group is one directory of a source.
type group struct {
	*store
	layout dgraph.Layout
	banned map[uint64]bool // namespaces
}

// OpenSource opens one directory for each group. It keeps each from being
// opened for writing, by Badger or Dgraph, until Close.
func OpenSource(dirs map[uint32]string, o Options) (_ *Source, err error) {
	if len(dirs) == 0 {
		return nil, errors.New("no directory to read")
	}
	s := newSource(o)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	newest := uint64(1) // of an empty database: see since
	for _, id := range slices.Sorted(maps.Keys(dirs)) {
		st, err := openStore(dirs[id], o.EncryptionKey.Reveal(), o.ReadWrite)
		if err != nil {
			return nil, err
		}
		s.groups[id] = &group{store: st}
		newest = max(newest, st.maxVersion())
	}
	s.readTs = cmp.Or(o.ReadTs, newest)
	if err := s.detect(); err != nil {
		return nil, err
	}
	return s, nil
}

// newSource is a source without groups.
func newSource(o Options) *Source {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	o.Memory = cmp.Or(o.Memory, 256<<20)
	return &Source{opt: o, now: time.Now(), groups: map[uint32]*group{}, seen: map[string]bool{}}
}

// detect finds out the kind of the database and how its keys are laid out.
func (s *Source) detect() error {
	defer func() {
		for id, g := range s.groups {
			g.lists = s.kind == manifest.KindDgraph
			s.opt.Logger.Debug("database opened", "group", id, "dir", g.dir, "live", g.pin != nil, "kind", s.kind, "read_ts", s.readTs)
		}
	}()
	found := map[uint32][][]byte{}
	s.kind = s.opt.Kind
	for id, g := range s.groups {
		keys, err := s.schemaKeys(g)
		if err != nil {
			return err
		}
		found[id] = keys
		if s.opt.Kind == "" && (len(keys) > 0 || isFile(g.dir, groupFile)) {
			s.kind = manifest.KindDgraph
		}
	}
	if s.kind == "" {
		s.kind = manifest.KindBadger
	}
	if s.kind == manifest.KindBadger {
		for _, g := range s.groups {
			if g.pin != nil {
				continue // has been asked when it was pinned
			}
			if err := pendingDrop(g.dir); err != nil {
				return err
			}
		}
		return nil
	}
	var all [][]byte
	for id, g := range s.groups {
		if len(found[id]) == 0 && g.maxVersion() > 0 && !isFile(g.dir, groupFile) && s.opt.Kind == "" {
			return fmt.Errorf("%s: %w: it holds no schema, but other groups do; say the kind", g.dir, dgraph.ErrCorrupt)
		}
		all = append(all, found[id]...)
	}
	layout, err := dgraph.DetectLayout(all)
	if err != nil {
		return err
	}
	for _, g := range s.groups {
		g.layout = layout
		if g.banned, err = s.bannedNamespaces(g); err != nil {
			return err
		}
	}
	return nil
}

// schemaKeys returns some keys of the schema and types, if these are Dgraph's.
func (s *Source) schemaKeys(g *group) ([][]byte, error) {
	m, _ := g.merge(0, func(err error) error { return err })
	defer m.close()
	var keys [][]byte
	err := eachKey(m, []byte{prefixSchema}, []byte{prefixType + 1}, s.readTs, func(it *item) (bool, error) {
		if it.userMeta == dgraph.MetaSchema && it.meta&metaDelete == 0 {
			if _, err := dgraph.DetectLayout([][]byte{it.key}); err == nil {
				keys = append(keys, slices.Clone(it.key))
			}
		}
		return len(keys) < 64, nil
	})
	return keys, err
}

// eachKey visits the newest version, up to readTs, of each key from from up to to.
func eachKey(m *merge, from, to []byte, readTs uint64, visit func(*item) (more bool, err error)) error {
	if err := m.seek(from); err != nil {
		return err
	}
	var key []byte
	for it := m.item(); it != nil && below(it.key, to); it = m.item() {
		if it.version > readTs {
			if err := m.next(); err != nil {
				return err
			}
			continue
		}
		key = append(key[:0], it.key...)
		more, err := visit(it)
		if err != nil || !more {
			return err
		}
		if err := m.skip(key); err != nil {
			return err
		}
	}
	return nil
}

// bannedNamespace begins the keys under which Badger keeps namespaces that
// nobody may read any more.
const bannedNamespace = "!badger!banned"

func (s *Source) bannedNamespaces(g *group) (map[uint64]bool, error) {
	m, _ := g.merge(0, func(err error) error { return err })
	defer m.close()
	banned := map[uint64]bool{}
	err := eachKey(m, []byte(bannedNamespace), after(bannedNamespace), math.MaxUint64, func(it *item) (bool, error) {
		if ns := it.key[len(bannedNamespace):]; len(ns) == 8 {
			banned[be64(ns)] = true
		}
		return true, nil
	})
	return banned, err
}

// Kind is the kind of the database.
func (s *Source) Kind() manifest.Kind { return s.kind }

// Layout is how the keys of a Dgraph database are laid out.
func (s *Source) Layout() dgraph.Layout {
	for _, g := range s.groups {
		return g.layout
	}
	return dgraph.LayoutV21
}

// ReadTs is the moment that the source shows.
func (s *Source) ReadTs() uint64 { return s.readTs }

// since is from when on versions count. An empty database has read timestamp 1, for 0
// would mean that there was no backup, but Badger's first commit gets version 1 all
// the same: after such a backup it counts as new. Dgraph's first commit is later.
func (s *Source) since(since uint64) uint64 {
	if since == 1 && s.kind == manifest.KindBadger {
		return 0
	}
	return since
}

// Groups lists the groups, ascending.
func (s *Source) Groups() []uint32 { return slices.Sorted(maps.Keys(s.groups)) }

// Close lets others open the directories again.
func (s *Source) Close() error {
	var errs []error
	for _, g := range s.groups {
		errs = append(errs, g.close())
	}
	if s.opt.OnClose != nil {
		s.opt.OnClose()
		s.opt.OnClose = nil
	}
	return errors.Join(errs...)
}

// Damaged names what could not be read and was left out so far. Without
// AcceptDamaged, Read has returned the same as an error.
func (s *Source) Damaged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.damaged))
}

// note remembers damage, once.
func (s *Source) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[what] {
		return
	}
	s.seen[what] = true
	s.damaged = append(s.damaged, what)
	s.opt.Logger.Error("damaged", "what", what)
}

func (s *Source) group(id uint32) (*group, error) {
	g := s.groups[id]
	if g == nil {
		return nil, fmt.Errorf("no group %d", id)
	}
	return g, nil
}

func isFile(dir, name string) bool {
	fi, err := os.Stat(dir + string(os.PathSeparator) + name)
	return err == nil && fi.Mode().IsRegular()
}
