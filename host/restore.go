package host

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// A RestoreRequest says what to restore, and where to.
type RestoreRequest struct {
	From   Location
	Key    *Key   // of an encrypted backup
	Series string // backup_id; the location's latest if empty
	Number int    // backup_num; the series' last if 0

	// Postings is the directory that receives p1, p2, ... by group, or the
	// database itself if it is a single plain Badger one.
	Postings    string
	PostingsKey sdk.Secret // 16, 24 or 32 bytes: encrypts the database that is written
	Overwrite   bool       // replace what is in Postings

	// KeepVersions writes entries at the timestamps of their backups, and empty
	// lists too, instead of everything at 1. The directory can then be backed up
	// incrementally from where its series stands.
	KeepVersions bool
	Version      uint64          // every list is written at this version; 0: at 1, or as KeepVersions says
	Compat       manifest.Compat // whose directories are written; v23 if empty
}

// A RestoreResult describes what was restored.
type RestoreResult struct {
	Backup  string   // series/number
	Version uint64   // read timestamp: Zero must hand out later ones
	MaxUID  uint64   // of nodes and of what edges point to: Zero must lease beyond it
	MaxNs   uint64   // highest namespace
	Groups  []uint32 // written
	Entries int64
}

// Restore writes the database as it was at one backup. Everything is written
// beside the target and verified first, then put in its place; an error leaves
// the target as it was.
func (e *Engine) Restore(ctx context.Context, req RestoreRequest) (*RestoreResult, error) {
	ctx = e.withLog(ctx)
	if req.Version != 0 && req.KeepVersions {
		return nil, usage("give one of the two", "every list at version %d, and each at its own", req.Version)
	}
	t, err := newTarget(req.Postings, req.Overwrite)
	if err != nil {
		return nil, err
	}
	s, err := e.state(ctx, req.From, req.Key, req.Series, req.Number)
	if err != nil {
		return nil, err
	}
	defer clear(s.dataKey)
	if err := t.begin(); err != nil {
		return nil, err
	}
	defer t.abandon()
	groups := sorted(s.newest().Groups)
	plain := s.newest().Kind == manifest.KindBadger && len(groups) == 1
	if err := t.suits(plain, req.From.URI); err != nil {
		return nil, err
	}
	if plain {
		t.plain(groups[0])
	}
	s.meter = e.meter("restore")
	defer s.meter.stop()
	res, err := e.restoreTo(ctx, s, req, filepath.Join(t.side, newDir))
	if err != nil {
		return nil, err
	}
	return res, t.finish()
}

// state selects a chain and opens what is needed to read it.
func (e *Engine) state(ctx context.Context, from Location, key *Key, series string, number int) (*state, error) {
	c, err := e.catalogue(ctx, from)
	if err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	chain, err := c.chain(series, number)
	if err != nil {
		return nil, err
	}
	dataKey, err := e.keyFor(ctx, key, c, chain)
	if err != nil {
		return nil, err
	}
	for i := range chain {
		if c.lostRecord(&chain[i]) {
			e.log().Warn("the backup's commit record is gone; what the manifest says instead is not vouched for", "backup", chain[i].ID())
		}
	}
	for _, name := range leftOut(chain) {
		e.log().Warn("the backup was taken of a damaged database; a list says what was left out", "list", name)
	}
	return &state{c: c, chain: chain, dataKey: dataKey, temp: e.TempDir, memory: e.memory()}, nil
}

// restoreTo writes a state's groups below dir.
func (e *Engine) restoreTo(ctx context.Context, s *state, req RestoreRequest, dir string) (*RestoreResult, error) {
	m := s.newest()
	res := &RestoreResult{Backup: m.ID(), Version: m.ReadTs}
	s.temp = dir
	for _, g := range sorted(m.Groups) {
		s.meter.begin(g)
		if err := e.restoreGroup(ctx, s, req, g, filepath.Join(dir, groupDir(g)), res); err != nil {
			return nil, fmt.Errorf("group %d: %w", g, err)
		}
		res.Groups = append(res.Groups, g)
	}
	return res, nil
}

func groupDir(group uint32) string { return fmt.Sprintf("p%d", group) }

func (e *Engine) restoreGroup(ctx context.Context, s *state, req RestoreRequest, group uint32, dir string, res *RestoreResult) (err error) {
	compat := req.Compat
	if compat == "" {
		compat = manifest.CompatV23
	}
	r := &restorer{from: s.newest().Form, to: compat.Form(), keepVersions: req.KeepVersions, version: max(1, req.Version), newest: groupTs(s.newest(), group), res: res}
	if compat == manifest.CompatV20 {
		r.layout = dgraph.LayoutV20
	}
	r.w, err = badgerdb.Create(dir, badgerdb.WriterOptions{
		Layout: r.layout, EncryptionKey: req.PostingsKey, Group: group, Memory: s.memory / 2, Kind: s.newest().Kind, ReadTs: s.newest().ReadTs,
	})
	if err != nil {
		return err
	}
	emit := r.dgraph
	if s.newest().Kind == manifest.KindBadger {
		emit = r.badger
	}
	if err := s.group(ctx, group, emit); err != nil {
		return errJoin(err, r.w.Abort())
	}
	return r.w.Close()
}

// A restorer turns the entries of a state into items of a Badger directory.
type restorer struct {
	w            *badgerdb.Writer
	layout       dgraph.Layout
	from, to     dgraph.Form
	keepVersions bool
	version      uint64 // of every list, unless they keep theirs
	newest       uint64 // version that there may be: the series goes on above it
	res          *RestoreResult

	key     dgraph.Key
	packer  dgraph.Packer
	keyBuf  []byte
	partKey []byte
	value   []byte
}

func (r *restorer) badger(key []byte, e *backupfile.Entry) error {
	r.res.Entries++
	return r.w.Write(key, e.Value, e.UserMeta, e.Meta, e.Version, e.ExpiresAt)
}

func (r *restorer) dgraph(key []byte, e *backupfile.Entry) (err error) {
	if err := dgraph.ParseKey(dgraph.LayoutV21, key, &r.key); err != nil {
		return err
	}
	if r.layout != dgraph.LayoutV21 {
		if r.keyBuf, err = dgraph.AppendKey(r.keyBuf[:0], r.layout, &r.key); err != nil {
			return err
		}
		key = r.keyBuf
	}
	r.res.MaxNs = max(r.res.MaxNs, r.key.Namespace)
	version := r.version
	if r.keepVersions {
		// An entry has its backup's read timestamp, which the group may not have
		// come to. Above that, a record of a drop would count as new.
		version = max(1, min(e.Version, r.newest))
	}
	switch r.key.Kind {
	case dgraph.KeySchema:
		r.value, err = dgraph.ConvertSchema(r.value[:0], e.Value, r.key.Predicate, r.to)
	case dgraph.KeyType:
		r.value, err = dgraph.ConvertType(r.value[:0], e.Value, r.key.Predicate, r.from, r.to)
	default:
		return r.list(key, e, version)
	}
	if err != nil {
		return err
	}
	r.res.Entries++
	return r.w.Write(key, r.value, dgraph.MetaSchema, 0, 1, 0)
}

func (r *restorer) list(key []byte, e *backupfile.Entry, version uint64) error {
	uid, err := dgraph.MaxUID(&r.key, e.Value)
	if err != nil {
		return err
	}
	r.res.MaxUID = max(r.res.MaxUID, uid) // of what was deleted, too: a uid is never given out twice
	if e.UserMeta == dgraph.MetaEmpty {
		if !r.keepVersions {
			return nil
		}
		return r.w.Write(key, nil, dgraph.MetaEmpty, 0, version, 0)
	}
	list, parts, err := r.packer.Pack(e.Value)
	if err != nil {
		return err
	}
	if list == nil {
		return nil
	}
	r.res.Entries++
	if err := r.w.Write(key, list, dgraph.MetaComplete, 0, version, 0); err != nil {
		return err
	}
	part := r.key
	for _, p := range parts {
		part.StartUID = p.StartUID
		if r.partKey, err = dgraph.AppendKey(r.partKey[:0], r.layout, &part); err != nil {
			return err
		}
		if err := r.w.WritePart(r.partKey, p.Value, dgraph.MetaComplete, 0, version, 0); err != nil {
			return err
		}
	}
	return nil
}
