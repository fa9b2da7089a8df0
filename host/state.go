package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A state is what a chain of backups amounts to: the database at the read
// timestamp of the last one. It is never held in memory; each group is merged
// from its files, in key order.
type state struct {
	c       *catalogue
	chain   []manifest.Manifest
	dataKey []byte
	temp    string // directory for what does not fit into memory
	memory  int64
	meter   *meter
	within  *keyRange // only these keys, of a plain Badger database whose files are all sealed; nil: all
}

// newest is the backup whose moment the state shows.
func (s *state) newest() *manifest.Manifest { return &s.chain[len(s.chain)-1] }

// emitFunc takes one entry of a state: key is the Badger key in the layout of
// Dgraph 21.03 and later. Both are valid during the call only.
type emitFunc func(key []byte, e *backupfile.Entry) error

// group yields what the group holds, in key order. Lists that became empty are
// yielded too, with user meta MetaEmpty.
func (s *state) group(ctx context.Context, group uint32, emit emitFunc) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := newFloors(s.chain, group)
	sort := newSorter(s.temp, s.memory/2, s.newest().Kind)
	defer sort.close()
	var streams []stream
	defer func() {
		cancel()
		for _, st := range streams {
			st.close()
		}
	}()
	for i := range s.chain {
		if _, ok := s.chain[i].Groups[group]; !ok {
			continue
		}
		st, err := s.file(ctx, i, group, f, sort)
		if err != nil {
			return s.explain(i, group, err)
		}
		if st != nil {
			streams = append(streams, st)
		}
	}
	sortedRuns, err := sort.streams()
	if err != nil {
		return err
	}
	m, err := newMerge(append(streams, sortedRuns...))
	if err != nil {
		return err
	}
	if s.newest().Kind == manifest.KindBadger {
		return s.emitVersions(m, emit)
	}
	return s.emitNewest(m, f, emit)
}

// explain names the object that an error is about.
func (s *state) explain(i int, group uint32, err error) error {
	return wrongKey(&s.chain[i], fmt.Errorf("backup %s: %w", s.chain[i].ID(), about(s.chain[i].Object(group), err)))
}

// file begins to read one file of the chain. A sealed one is a stream; what an
// unsealed one holds goes into the sorter.
func (s *state) file(ctx context.Context, i int, group uint32, f *floors, sort *sorter) (stream, error) {
	m := &s.chain[i]
	seal, err := s.c.seal(ctx, m, group, s.dataKey)
	if err != nil {
		return nil, err
	}
	s.meter.expect(s.c.sizes[m.Object(group)])
	if seal == nil || i >= maxStreams {
		return nil, s.sortFile(ctx, i, group, seal, f, sort)
	}
	if m.Kind == manifest.KindDgraph {
		if err := s.readSchemas(ctx, i, group, seal, f); err != nil {
			return nil, err
		}
	}
	src, r := s.entries(ctx, m, group, seal)
	return &namedStream{newFileStream(ctx, src, r, i, m.Kind), func(err error) error { return s.explain(i, group, err) }}, nil
}

// entries opens a file. Without a seal its order means nothing.
func (s *state) entries(ctx context.Context, m *manifest.Manifest, group uint32, seal *backupfile.Seal) (io.Closer, entryReader) {
	switch {
	case seal == nil:
		src := s.open(ctx, m, group, 0)
		return src, backupfile.NewReader(src, s.keyOf(m))
	case s.within == nil:
		src := s.open(ctx, m, group, 0)
		return src, backupfile.NewSealedReader(src, s.keyOf(m), seal)
	}
	b := newBlockReader(*s.within, backupfile.NewBlockDecoder(s.keyOf(m), seal), seal.File.Blocks)
	b.src = s.open(ctx, m, group, b.offset())
	return b.src, b
}

// keyOf is nil for a plain backup.
func (s *state) keyOf(m *manifest.Manifest) []byte {
	if m.Encrypted {
		return s.dataKey
	}
	return nil
}

func (s *state) open(ctx context.Context, m *manifest.Manifest, group uint32, offset int64) io.ReadCloser {
	r := open(ctx, s.c.loc.Destination, m.Object(group), offset)
	return &metered{r, s.meter}
}

// A metered reader tells the meter what it read.
type metered struct {
	io.ReadCloser
	meter *meter
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.meter.add(int64(n), 0)
	return n, err
}

// A namedStream adds to its errors what it was reading.
type namedStream struct {
	*fileStream
	explain func(error) error
}

func (n *namedStream) next(it *item) (bool, error) {
	ok, err := n.fileStream.next(it)
	if err != nil {
		err = n.explain(err)
	}
	return ok, err
}

// maxStreams bounds how many files are merged as they are. Those of a longer chain,
// which are increments, go through the sorter like unsealed ones.
const maxStreams = 16

// sortFile reads a file that Dgraph wrote, whose order means nothing, or one of
// many.
func (s *state) sortFile(ctx context.Context, i int, group uint32, seal *backupfile.Seal, f *floors, sort *sorter) error {
	m := &s.chain[i]
	src, r := s.entries(ctx, m, group, seal)
	defer src.Close()
	keys := keyReader{kind: m.Kind}
	var e backupfile.Entry
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := r.Next(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		key, err := keys.sortKey(e.Key)
		if errors.Is(err, dgraph.ErrZeroUID) {
			continue
		}
		if err != nil {
			return err
		}
		if m.Kind == manifest.KindDgraph && keys.key.Kind == dgraph.KeySchema {
			if err := f.setSchema(i, keys.key.Predicate, e.Value); err != nil {
				return err
			}
		}
		if err := sort.add(key, i, &e); err != nil {
			return err
		}
	}
}

// emitNewest yields, of each Dgraph key, what the latest backup that counts says
// of it. Schema and types are those of the newest backup.
func (s *state) emitNewest(m *merge, f *floors, emit emitFunc) error {
	var (
		k     dgraph.Key
		done  []byte // the key that was yielded last
		part  []byte
		floor int
		last  = len(s.chain) - 1
	)
	for {
		it, err := m.next()
		if it == nil || err != nil {
			return err
		}
		if bytes.Equal(it.key, done) {
			continue // an older backup's word on a key that is settled
		}
		if err := dgraph.ParseKey(dgraph.LayoutV21, it.key, &k); err != nil {
			return err
		}
		if cut := partLen(it.key); !bytes.Equal(it.key[:cut], part) {
			part = append(part[:0], it.key[:cut]...)
			floor = f.lists(k.Predicate)
		}
		if it.index < s.floorOf(&k, f, floor, last) {
			continue
		}
		done = append(done[:0], it.key...)
		s.settle(it)
		s.meter.add(0, 1)
		if err := emit(it.key, &it.e); err != nil {
			return err
		}
	}
}

func (s *state) floorOf(k *dgraph.Key, f *floors, floor, last int) int {
	switch k.Kind {
	case dgraph.KeyType:
		return last
	case dgraph.KeySchema:
		if floor == never {
			return never
		}
		return last
	case dgraph.KeyData:
		return floor
	}
	if floor == never {
		return never
	}
	return f.index(k, floor)
}

// settle gives an entry the version that its place in the chain means: Dgraph
// 24.1 to 25.4 write emptied lists with version 0 (dgraph-format.md, trap 1).
func (s *state) settle(it *item) {
	if it.e.UserMeta == dgraph.MetaSchema {
		return
	}
	if readTs := s.chain[it.index].ReadTs; it.e.Version == 0 || it.e.Version > readTs {
		it.e.Version = readTs
	}
	if len(it.e.Value) == 0 {
		it.e.UserMeta = dgraph.MetaEmpty
	}
}

// emitVersions yields every version of every plain Badger key that counts,
// newest first.
func (s *state) emitVersions(m *merge, emit emitFunc) error {
	var (
		last    []byte
		version uint64
	)
	for {
		it, err := m.next()
		if it == nil || err != nil {
			return err
		}
		same := last != nil && bytes.Equal(it.key, last)
		if it.index < badgerFloor(s.chain, it.key) || same && it.e.Version >= version {
			continue
		}
		last, version = append(last[:0], it.key...), it.e.Version
		s.meter.add(0, 1)
		if err := emit(it.key, &it.e); err != nil {
			return err
		}
	}
}
