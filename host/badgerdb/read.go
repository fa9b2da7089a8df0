package badgerdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// Read yields the entries of one range that are newer than since, up to the read
// timestamp, in key order. Both slices and entry are valid until emit returns.
//
// Of a Badger database these are all versions of each key, newest first, with the deleted ones.
// Of a Dgraph database it is one entry for each list that has changed, rolled up: where
// since is 0 those that are not empty, else with a tombstone for each that is empty
// or deleted; and the whole schema and all types, whatever since is.
//
// Damage is reported at the end of the range, as a [*DamagedError] with all that was found,
// unless the source accepts it.
func (s *Source) Read(ctx context.Context, id uint32, r Range, since uint64, enc dgraph.ListEncoding, form dgraph.Form, emit func(sortKey []byte, e *backupfile.Entry) error) error {
	g, err := s.group(id)
	if err != nil {
		return err
	}
	rd := &reader{ctx: ctx, s: s, g: g, r: r, since: s.since(since), enc: enc, form: form, emit: emit}
	defer rd.close()
	if s.kind == manifest.KindBadger {
		err = rd.versions()
	} else {
		err = rd.dgraph()
	}
	if err == nil && len(rd.bad.Keys) > 0 && !s.opt.AcceptDamaged {
		return &rd.bad
	}
	return err
}

// A reader reads one range.
type reader struct {
	ctx   context.Context
	s     *Source
	g     *group
	r     Range
	since uint64
	enc   dgraph.ListEncoding
	form  dgraph.Form
	emit  func(sortKey []byte, e *backupfile.Entry) error

	open  []*merge
	steps int
	bad   DamagedError
	seen  map[string]bool
	gaps  []*lostBlock
	entry backupfile.Entry

	key      []byte // that is being read
	valueBuf []byte
	dgraphReader
}

func (r *reader) close() {
	for _, m := range r.open {
		m.close()
	}
}

// merge opens a walk over what is newer than since.
func (r *reader) merge(since uint64) (m *merge, all bool) {
	m, all = r.g.merge(since, r.lost)
	r.open = append(r.open, m)
	return m, all
}

// step is called for each key; it notices a cancelled context. Beside a database in use it
// lets others in: who writes has little to do, often.
func (r *reader) step() error {
	if r.steps++; r.steps&63 == 0 && r.g.pin != nil {
		runtime.Gosched()
	}
	if r.steps&1023 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// manyDamaged is how many places a DamagedError lists.
const manyDamaged = 100

// lost takes note of damage; the walk goes on behind it.
func (r *reader) lost(err error) error {
	if gap := (*lostBlock)(nil); errors.As(err, &gap) {
		r.gaps = append(r.gaps, gap)
	}
	what := err.Error()
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	if r.seen[what] {
		return nil
	}
	r.seen[what] = true
	r.s.note(what)
	if len(r.bad.Keys) < manyDamaged {
		r.bad.Keys = append(r.bad.Keys, what)
	} else {
		r.bad.More++
	}
	return nil
}

// inGap reports whether some version of the key may have been in a block that is lost: what
// is left of it must not pass for all there was.
func (r *reader) inGap(key []byte) bool {
	for _, g := range r.gaps {
		if bytes.Compare(g.from, key) <= 0 && (g.to == nil || bytes.Compare(key, g.to) <= 0) {
			return true
		}
	}
	return false
}

// versions reads a range of a Badger database.
func (r *reader) versions() error {
	m, _ := r.merge(r.since)
	if err := m.seek(r.r.From); err != nil {
		return err
	}
	var skip []byte // a key whose newer version is damaged; an older one must not take its place
	e := &r.entry
	for it := m.item(); it != nil && below(it.key, r.r.To); it = m.item() {
		if err := r.step(); err != nil {
			return err
		}
		if it.version > r.since && it.version <= r.s.readTs && !internal(it.key) && (skip == nil || !bytes.Equal(skip, it.key)) {
			value, err := r.g.value(it, &r.valueBuf)
			switch {
			case err == nil:
			case !errors.Is(err, ErrDamaged):
				return err
			case it.dead(r.s.now):
				value = nil // Badger lets go of values that nobody can read any more
			default:
				skip = append(skip[:0], it.key...)
				_ = r.lost(fmt.Errorf("key %s version %d: %w", strconv.QuoteToASCII(string(it.key)), it.version, err))
			}
			if (skip == nil || !bytes.Equal(skip, it.key)) && !r.inGap(it.key) {
				*e = backupfile.Entry{Key: it.key, Value: value, UserMeta: it.userMeta, Meta: it.meta & metaKept, Version: it.version, ExpiresAt: it.expiresAt}
				if err := r.emit(it.key, e); err != nil {
					return err
				}
			}
		}
		if err := m.next(); err != nil {
			return err
		}
	}
	return nil
}
