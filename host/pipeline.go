package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// writeGroup stores one group's file and its seal.
//
// Workers take the group's ranges in key order. Each does everything for its
// blocks (read, roll up, encode, compress), so that uncompressed bytes never
// change hands; one emitter writes the blocks in key order. Memory is bounded
// by the blocks that wait for the emitter.
func (e *Engine) writeGroup(ctx context.Context, p *plan, group uint32, meter *meter) (manifest.Object, int64, error) {
	name := p.m.Object(group)
	ranges, err := p.req.Source.Ranges(group, p.since[group])
	if err != nil {
		return manifest.Object{}, 0, err
	}
	s := e.newScan(p, group)
	meter.begin(group)
	for _, r := range ranges {
		meter.expect(r.Size)
	}
	pr, pw := io.Pipe()
	var info backupfile.FileInfo
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := p.req.To.Destination.Put(gctx, name, pr)
		pr.CloseWithError(orClosed(err))
		return err
	})
	g.Go(func() (err error) {
		info, err = s.emit(gctx, ranges, pw, meter)
		pw.CloseWithError(err) // nil ends the object well
		return err
	})
	err = g.Wait()
	if errors.Is(err, sdk.ErrUnavailable) && e.stored(ctx, p, name, info) {
		err = nil // only the answer was lost
	}
	if !errors.Is(err, sdk.ErrExist) {
		p.written = append(p.written, name)
	}
	if err != nil {
		return manifest.Object{}, 0, about(name, err)
	}

	if p.req.Prove && !p.m.Full {
		if err := s.prove(ctx); err != nil {
			return manifest.Object{}, 0, err
		}
	}
	seal := s.seal(info)
	data, err := seal.Encode(p.dataKey)
	if err != nil {
		return manifest.Object{}, 0, err
	}
	if err := putNew(ctx, p.req.To.Destination, p.m.Seal(group), data); err != nil {
		return manifest.Object{}, 0, err
	}
	p.written = append(p.written, p.m.Seal(group))
	sealSum := sha256.Sum256(data)
	return manifest.Object{
		Group: group, Ts: p.req.Source.GroupTs(group), Name: name, Size: info.Size, SHA256: hex.EncodeToString(info.SHA256[:]),
		Seal: p.m.Seal(group), SealSHA256: hex.EncodeToString(sealSum[:]),
	}, s.tally.entries, nil
}

// stored reads an object back after its Put failed, to find out whether it is
// there in full.
func (e *Engine) stored(ctx context.Context, p *plan, name string, info backupfile.FileInfo) bool {
	if info.Size == 0 || ctx.Err() != nil {
		return false
	}
	r := open(ctx, p.req.To.Destination, name, 0)
	defer r.Close()
	sum := sha256.New()
	_, err := io.Copy(sum, r)
	return err == nil && bytes.Equal(sum.Sum(nil), info.SHA256[:])
}

// orClosed keeps a pipe's writer from going on when its reader has ended.
func orClosed(err error) error {
	if err == nil {
		return io.ErrClosedPipe
	}
	return err
}

// A scan reads one group of a source into blocks.
type scan struct {
	background bool
	plan       *plan
	group      uint32
	workers    int
	waiting    int // finished blocks that one range may hold while an earlier one is being written
	enc        dgraph.ListEncoding
	tally      *tally // of what was read, all workers together
}

// workerMemory is what a worker takes, with its reader's buffers.
const workerMemory = 8 << 20

func (e *Engine) newScan(p *plan, group uint32) *scan {
	workers := e.Workers
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), int(e.memory()/workerMemory))
	}
	// Of each worker's ranges one is read and one waits; each block has its raw
	// and its compressed form.
	waiting := int(min(max(e.memory()/int64(4*workers*backupfile.BlockSize), 1), 16))
	return &scan{background: e.Background, plan: p, group: group, workers: workers, waiting: waiting, enc: listEncoding(p.m.Form), tally: p.newTally()}
}

// newTally sums up keys, too, where they are all read anyway.
func (p *plan) newTally() *tally {
	t := newTally(p.dataKey, p.m.Kind)
	if p.m.Full && p.m.Kind == manifest.KindBadger {
		t.spans = newSpanner(p.dataKey)
	}
	return t
}

func listEncoding(f dgraph.Form) dgraph.ListEncoding {
	if f == dgraph.FormV20 {
		return dgraph.UIDs
	}
	return dgraph.UIDBytes
}

// A job is one range on its way through a worker to the emitter.
type job struct {
	r      badgerdb.Range
	blocks chan *backupfile.Block
}

func (s *scan) emit(ctx context.Context, ranges []badgerdb.Range, w io.Writer, meter *meter) (backupfile.FileInfo, error) {
	out, err := backupfile.NewWriter(w, s.plan.codec, s.plan.dataKey)
	if err != nil {
		return backupfile.FileInfo{}, err
	}
	g, ctx := errgroup.WithContext(ctx)
	work, order := make(chan job), make(chan job, s.workers)
	g.Go(func() error {
		defer close(work)
		defer close(order)
		for _, r := range ranges {
			j := job{r, make(chan *backupfile.Block, s.waiting)}
			for _, to := range []chan job{order, work} {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	tallies := make([]*tally, s.workers)
	for i := range tallies {
		tallies[i] = s.plan.newTally()
		g.Go(func() error {
			s.giveWay()
			return s.worker(ctx, work, tallies[i])
		})
	}
	g.Go(func() error {
		s.giveWay()
		for j := range order {
			if err := drain(ctx, j.blocks, out, meter); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err := g.Wait(); err != nil {
		return backupfile.FileInfo{}, err
	}
	for _, t := range tallies {
		s.tally.merge(t)
	}
	return out.Close()
}

// giveWay makes the calling goroutine a background one, if that is wanted.
func (s *scan) giveWay() {
	if s.background {
		badgerdb.Background()
	}
}

func drain(ctx context.Context, blocks <-chan *backupfile.Block, out *backupfile.Writer, meter *meter) error {
	for {
		select {
		case b, ok := <-blocks:
			if !ok {
				return nil
			}
			err := out.Write(b)
			meter.add(b.Raw, int64(b.Entries))
			b.Release()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *scan) worker(ctx context.Context, work <-chan job, t *tally) error {
	enc := backupfile.NewBlockEncoder(s.plan.codec)
	for j := range work {
		if err := s.blocks(ctx, enc, j, t); err != nil {
			return err
		}
		close(j.blocks)
	}
	return ctx.Err()
}

// blocks reads one range. Lists carry the backup's read timestamp, because
// Dgraph's restore keeps the highest version of a key in the chain; schema and
// types carry 1, which every Dgraph can read.
func (s *scan) blocks(ctx context.Context, enc *backupfile.BlockEncoder, j job, t *tally) error {
	flush := func() error {
		t.newBlock()
		b, err := enc.Flush()
		if err != nil {
			return err
		}
		select {
		case j.blocks <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m := s.plan.m
	t.newRange()
	err := s.plan.req.Source.Read(ctx, s.group, j.r, s.plan.since[s.group], s.enc, m.Form, func(sortKey []byte, en *backupfile.Entry) error {
		if m.Kind == manifest.KindDgraph {
			en.Version = 1
			if en.UserMeta != dgraph.MetaSchema {
				en.Version = m.ReadTs
			}
		}
		t.add(sortKey, en)
		enc.Add(sortKey, en)
		if enc.Raw() < backupfile.BlockSize {
			return nil
		}
		return flush()
	})
	if err != nil || enc.Raw() == 0 {
		return err
	}
	return flush()
}

// prove fingerprints the whole group at the read timestamp, for an incremental
// backup, whose own entries are only what changed.
func (s *scan) prove(ctx context.Context) error {
	whole, err := fingerprint(ctx, s.plan.req.Source, s.group, s.plan.m, s.plan.dataKey)
	if err != nil {
		return err
	}
	s.tally.prints = whole.prints
	return nil
}

// fingerprint reads everything a group holds, and sums it up.
func fingerprint(ctx context.Context, src Source, group uint32, m *manifest.Manifest, dataKey []byte) (*tally, error) {
	ranges, err := src.Ranges(group, 0)
	if err != nil {
		return nil, err
	}
	t := newTally(dataKey, m.Kind)
	for _, r := range ranges {
		t.newRange()
		err := src.Read(ctx, group, r, 0, listEncoding(m.Form), m.Form, func(sortKey []byte, en *backupfile.Entry) error {
			t.add(sortKey, en)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (s *scan) seal(info backupfile.FileInfo) *backupfile.Seal {
	m := s.plan.m
	seal := &backupfile.Seal{
		Kind: string(m.Kind), Group: s.group, Series: m.Series, Number: m.Number, ReadTs: m.ReadTs, Since: m.Since,
		Engine: m.Record.Engine, Codec: s.plan.codec.String(), File: info, Predicates: s.tally.counts(),
	}
	if m.Full || s.plan.req.Prove {
		seal.Fingerprint = s.tally.sums()
	}
	if m.Encrypted {
		seal.Record = m.Digest()
	}
	if seal.Spans = s.plan.spans[s.group]; s.tally.spans != nil {
		seal.Spans = s.tally.spans.done()
	}
	return seal
}
