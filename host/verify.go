package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A VerifyMode says how much of a backup is looked at. Each does what the one
// before does, and more.
type VerifyMode int

// How much of a backup is looked at.
const (
	VerifyShallow VerifyMode = iota // every object is there, of the right size, with a true seal
	VerifyDeep                      // every byte is read and decoded
	VerifyRestore                   // the chain is restored to a scratch directory and compared
)

// A VerifyRequest says what to verify.
type VerifyRequest struct {
	From   Location
	Key    *Key
	Series string // the location's latest if empty
	Number int    // the series' last if 0: the whole chain up to it is verified
	Mode   VerifyMode
}

// A VerifyReport tells what was looked at and what is wrong.
type VerifyReport struct {
	Mode    VerifyMode
	Backups []BackupReport
	Proved  bool   // the restored data has the fingerprint that was taken from the database
	Doubt   string // why a restore that went well proves less than that
}

// A BackupReport is one backup of the chain.
type BackupReport struct {
	ID, Path string
	Sealed   bool // false for backups made by Dgraph
	Objects  int
	Blocks   int
	Entries  int64 // decoded; 0 unless the mode is deep
	Bytes    int64
	Problems []Problem
}

// A Problem is damage that was found.
type Problem struct {
	Object string
	Text   string
}

// OK reports whether nothing is wrong.
func (r *VerifyReport) OK() bool {
	for i := range r.Backups {
		if len(r.Backups[i].Problems) > 0 {
			return false
		}
	}
	return true
}

// Verify looks at a chain of backups. Damage is in the report; an error means
// that it could not be found out.
func (e *Engine) Verify(ctx context.Context, req VerifyRequest) (*VerifyReport, error) {
	ctx = e.withLog(ctx)
	c, err := e.catalogue(ctx, req.From)
	if err != nil {
		return nil, err
	}
	e.repair(ctx, c)
	chain, err := c.pick(req.Series, req.Number)
	if err != nil {
		return nil, err
	}
	dataKey, err := e.keyFor(ctx, req.Key, c, chain)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	s := &state{c: c, chain: chain, dataKey: dataKey, temp: e.TempDir, memory: e.memory(), meter: e.meter("verify")}
	defer s.meter.stop()
	report := &VerifyReport{Mode: req.Mode}
	for i := range chain {
		b, err := s.verifyBackup(ctx, &chain[i], req.Mode >= VerifyDeep)
		if err != nil {
			return nil, err
		}
		report.Backups = append(report.Backups, *b)
	}
	if req.Mode == VerifyRestore && report.OK() {
		err = e.verifyRestore(ctx, s, report)
	}
	return report, err
}

func (s *state) verifyBackup(ctx context.Context, m *manifest.Manifest, deep bool) (*BackupReport, error) {
	b := &BackupReport{ID: m.ID(), Path: m.Path, Sealed: m.Record != nil, Objects: len(m.Groups)}
	for _, name := range s.c.missing(m) {
		b.Problems = append(b.Problems, Problem{name, "missing, or of the wrong size"})
	}
	if s.c.lostRecord(m) {
		b.Problems = append(b.Problems, Problem{manifest.RecordName(m.Series, m.Number), "the commit record is missing"})
	}
	for _, g := range sorted(m.Groups) {
		b.Bytes += s.c.sizes[m.Object(g)]
		if err := wrongKey(m, s.verifyFile(ctx, m, g, deep, b)); err != nil {
			if !IsDamage(err) {
				return nil, fmt.Errorf("backup %s: %w", m.ID(), about(m.Object(g), err))
			}
			b.Problems = append(b.Problems, Problem{m.Object(g), err.Error()})
		}
	}
	return b, nil
}

func (s *state) verifyFile(ctx context.Context, m *manifest.Manifest, group uint32, deep bool, b *BackupReport) error {
	seal, err := s.c.seal(ctx, m, group, s.dataKey)
	if err != nil {
		return err
	}
	size, ok := s.c.sizes[m.Object(group)]
	if !ok {
		return nil // reported already
	}
	if seal != nil {
		b.Objects++
		b.Blocks += len(seal.File.Blocks)
	}
	if !deep {
		return nil
	}
	s.meter.expect(size)
	src := s.open(ctx, m, group, 0)
	defer src.Close()
	digest := sha256.New()
	r := backupfile.NewReader(io.TeeReader(src, digest), s.keyOf(m))
	if seal != nil {
		r = backupfile.NewSealedReader(io.TeeReader(src, digest), s.keyOf(m), seal)
	}
	n, err := s.decode(ctx, r, m.Kind)
	b.Entries += n
	if err != nil {
		return err
	}
	return recordedDigest(m, group, digest.Sum(nil))
}

// decode reads a file to its end, keys included.
func (s *state) decode(ctx context.Context, r *backupfile.Reader, kind manifest.Kind) (n int64, err error) {
	keys := keyReader{kind: kind}
	var e backupfile.Entry
	for ; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return n, ctx.Err()
		}
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		if _, err := keys.sortKey(e.Key); err != nil && !errors.Is(err, dgraph.ErrZeroUID) {
			return n, err
		}
		s.meter.add(0, 1)
	}
}

func recordedDigest(m *manifest.Manifest, group uint32, sum []byte) error {
	if m.Record == nil {
		return nil
	}
	for _, o := range m.Record.Objects {
		if o.Group == group && o.SHA256 != hex.EncodeToString(sum) {
			return damaged("", "its digest is not the one that was committed")
		}
	}
	return nil
}

// verifyRestore restores the chain to a scratch directory, reads that as a
// backup would, and compares: with what the chain says, and with the
// fingerprint taken from the database where the last backup has one.
func (e *Engine) verifyRestore(ctx context.Context, s *state, report *VerifyReport) error {
	dir, err := os.MkdirTemp(e.TempDir, "brock.verify-*")
	if err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	defer os.RemoveAll(dir)
	m := s.newest()
	if _, err := e.restoreTo(ctx, s, RestoreRequest{}, dir); err != nil {
		return err
	}
	last := &report.Backups[len(report.Backups)-1]
	proved, printed := true, false
	bare := false // a group is empty, of which a fingerprint says nothing: another one shows that they were taken
	for _, g := range sorted(m.Groups) {
		have, err := e.restored(ctx, s, g, filepath.Join(dir, groupDir(g)))
		if err != nil {
			return fmt.Errorf("group %d of the restored database: %w", g, err)
		}
		said, err := s.tally(ctx, g)
		if err != nil {
			return err
		}
		if text := difference(said.sums(), have.sums()); text != "" {
			last.Problems = append(last.Problems, Problem{m.Object(g), "the restored database differs from the chain: " + text})
		}
		seal, err := s.c.seal(ctx, m, g, s.dataKey)
		if err != nil {
			return err
		}
		empty := m.Full && seal != nil && len(seal.Predicates) == 0 // and so is its fingerprint
		if seal != nil && seal.Fingerprint == nil && !empty && len(have.sums()) == 0 {
			bare = true
			continue
		}
		if seal == nil || seal.Fingerprint == nil && !empty {
			proved = false
			report.Doubt = fmt.Sprintf("backup %s carries no fingerprint of the database: take incrementals with --prove", m.ID())
			if seal == nil {
				report.Doubt = fmt.Sprintf("backup %s was made by Dgraph, which takes no fingerprint of the database", m.ID())
			}
			continue
		}
		printed = true
		if text := difference(withoutDrops(seal.Fingerprint), withoutDrops(have.sums())); text != "" {
			last.Problems = append(last.Problems, Problem{m.Object(g), "the restored database differs from the one that was backed up: " + text})
		}
	}
	if bare && !printed && proved {
		proved = false
		report.Doubt = fmt.Sprintf("backup %s carries no fingerprint of the database: take incrementals with --prove", m.ID())
	}
	if names := leftOut(s.chain); len(names) > 0 {
		proved = false
		report.Doubt = "the backup was taken of a damaged database: " + strings.Join(names, ", ") + " lists what was left out"
	}
	report.Proved = proved && report.OK()
	return nil
}

// leftOut names the lists of what could not be read when the chain was taken.
func leftOut(chain []manifest.Manifest) (names []string) {
	for i := range chain {
		if r := chain[i].Record; r != nil && r.Damaged != "" {
			names = append(names, r.Damaged)
		}
	}
	return names
}

// restored sums up a restored group.
func (e *Engine) restored(ctx context.Context, s *state, group uint32, dir string) (*tally, error) {
	src, err := badgerdb.OpenSource(map[uint32]string{group: dir}, badgerdb.Options{
		Logger: hclog.NewNullLogger(), Memory: s.memory / 2, Kind: s.newest().Kind,
	})
	if err != nil {
		return nil, err
	}
	t, err := fingerprint(ctx, src, group, s.newest(), s.keyOf(s.newest()))
	return t, errJoin(err, src.Close())
}

// tally sums up what the chain says of a group, in the form in which the
// restored database will be read.
func (s *state) tally(ctx context.Context, group uint32) (*tally, error) {
	m := s.newest()
	t := newTally(s.keyOf(m), m.Kind)
	n := normaliser{form: m.Form}
	return t, s.group(ctx, group, func(key []byte, e *backupfile.Entry) error {
		if m.Kind == manifest.KindDgraph {
			if err := n.normalise(key, e); err != nil {
				return err
			}
			if e.UserMeta == dgraph.MetaEmpty {
				return nil
			}
		}
		t.add(key, e)
		return nil
	})
}

// A normaliser writes values as a backup of a restored database has them.
type normaliser struct {
	form dgraph.Form
	key  dgraph.Key
	buf  []byte
}

func (n *normaliser) normalise(key []byte, e *backupfile.Entry) (err error) {
	if err := dgraph.ParseKey(dgraph.LayoutV21, key, &n.key); err != nil {
		return err
	}
	switch n.key.Kind {
	case dgraph.KeySchema:
		n.buf, err = dgraph.ConvertSchema(n.buf[:0], e.Value, n.key.Predicate, n.form)
	case dgraph.KeyType:
		n.buf, err = dgraph.ConvertType(n.buf[:0], e.Value, n.key.Predicate, n.form, n.form)
	default:
		if e.UserMeta == dgraph.MetaEmpty {
			return nil
		}
		n.buf, err = dgraph.ReencodeList(n.buf[:0], e.Value, listEncoding(n.form))
		e.UserMeta = dgraph.MetaComplete
		if len(n.buf) == 0 {
			e.UserMeta = dgraph.MetaEmpty
		}
	}
	e.Value = n.buf
	return err
}

// withoutDrops leaves out the database's records of drops. Earlier ones may be written again, at
// their old version, when the data of their namespace is dropped, and no later backup has them:
// they have told of themselves already.
func withoutDrops(sums map[string][16]byte) map[string][16]byte {
	sums = maps.Clone(sums)
	maps.DeleteFunc(sums, func(name string, _ [16]byte) bool {
		_, attr, _ := strings.Cut(name, "-")
		return attr == dgraph.DropPredicate
	})
	return sums
}

// difference names the first predicate whose sums differ. One without live
// entries is as good as none.
func difference(want, have map[string][16]byte) string {
	for _, set := range []map[string][16]byte{want, have} {
		for _, name := range sorted(set) {
			w, h := want[name], have[name]
			if !bytes.Equal(w[:], h[:]) {
				if name == "" {
					return "the keys"
				}
				return "predicate " + name
			}
		}
	}
	return ""
}
