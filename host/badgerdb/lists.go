package badgerdb

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
)

// dgraphReader is what a reader needs for Dgraph's directories, used again for each key.
type dgraphReader struct {
	k, part   dgraph.Key
	roller    dgraph.Roller
	parts     *merge // walks over parts; nil: none was needed yet
	partKey   []byte
	partBuf   []byte
	sortKey   []byte
	backupKey []byte
	value     []byte
}

// dgraph reads a range of a Dgraph directory.
func (r *reader) dgraph() error {
	if data, ok := r.clip(nil, []byte{prefixSchema}); ok {
		if err := r.lists(data); err != nil {
			return err
		}
	}
	if schema, ok := r.clip([]byte{prefixSchema}, []byte{prefixType + 1}); ok {
		if err := r.schema(schema); err != nil {
			return err
		}
	}
	for _, gap := range [][2][]byte{{{prefixType + 1}, {prefixPart}}, {{prefixPart + 1}, nil}} {
		if rest, ok := r.clip(gap[0], gap[1]); ok {
			if err := r.unknown(rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// clip is what of the range lies between from and to.
func (r *reader) clip(from, to []byte) (Range, bool) {
	c := Range{From: r.r.From, To: r.r.To}
	if bytes.Compare(from, c.From) > 0 {
		c.From = from
	}
	if c.To == nil || to != nil && bytes.Compare(to, c.To) < 0 {
		c.To = to
	}
	return c, c.To == nil || bytes.Compare(c.From, c.To) < 0
}

// unknown reports keys that Dgraph does not have.
func (r *reader) unknown(c Range) error {
	m, _ := r.merge(0)
	return eachKey(m, c.From, c.To, r.s.readTs, func(it *item) (bool, error) {
		if !internal(it.key) && !it.dead(r.s.now) {
			_ = r.lost(damaged("key %x: not one of Dgraph's", it.key))
		}
		return true, r.step()
	})
}

// lists reads data keys. Only what is newer than since is looked at for what has changed; all
// versions of these keys are then looked up.
func (r *reader) lists(c Range) error {
	changed, all := r.merge(r.since)
	whole := changed
	if !all {
		whole, _ = r.merge(0)
	}
	if err := changed.seek(c.From); err != nil {
		return err
	}
	for it := changed.item(); it != nil && below(it.key, c.To); it = changed.item() {
		if it.version > r.s.readTs {
			if err := changed.next(); err != nil {
				return err
			}
			continue
		}
		if err := r.step(); err != nil {
			return err
		}
		r.key = append(r.key[:0], it.key...)
		if it.version > r.since {
			if whole != changed {
				if err := whole.seek(r.key); err != nil {
					return err
				}
			}
			if err := r.list(whole); err != nil {
				return err
			}
		}
		if err := changed.skip(r.key); err != nil {
			return err
		}
	}
	return nil
}

// list reads r.key, at which m stands, and emits it.
func (r *reader) list(m *merge) error {
	err := dgraph.ParseKey(r.g.layout, r.key, &r.k)
	if errors.Is(err, dgraph.ErrZeroUID) || err == nil && r.g.banned[r.k.Namespace] {
		return nil
	}
	if err != nil {
		return r.lost(damaged("%v", err))
	}
	r.roller.Reset()
	version, empty, err := r.roll(m)
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, dgraph.ErrCorrupt) {
			return err
		}
		return r.lost(damaged("%s: %v", describe(&r.k), err))
	}
	if empty && r.since == 0 {
		return nil
	}
	meta := byte(dgraph.MetaComplete)
	if empty {
		meta = dgraph.MetaEmpty
		r.value = r.value[:0]
	}
	return r.put(meta, version)
}

// roll merges the versions of r.key, and returns the newest of them.
func (r *reader) roll(m *merge) (version uint64, empty bool, err error) {
	base := uint64(0) // version of the complete list, which its parts share
	more := true
	for it := m.item(); more && it != nil && bytes.Equal(it.key, r.key); it = m.item() {
		if it.version <= r.s.readTs {
			if version == 0 {
				version = it.version
			}
			if it.dead(r.s.now) {
				break
			}
			value, err := r.g.value(it, &r.valueBuf)
			if err != nil {
				return version, false, err
			}
			base = it.version
			if more, err = r.roller.Add(it.userMeta, value); err != nil {
				return version, false, err
			}
		}
		if err := m.next(); err != nil {
			return version, false, err
		}
	}
	for _, start := range r.roller.Splits() {
		if err := r.addPart(start, base); err != nil {
			return version, false, err
		}
	}
	r.value, empty, err = r.roller.AppendBackupList(r.value[:0], r.enc)
	return version, empty, err
}

// addPart adds the part of the list that begins at start, as of version base.
func (r *reader) addPart(start, base uint64) (err error) {
	r.part = r.k
	r.part.StartUID = start
	if r.partKey, err = dgraph.AppendKey(r.partKey[:0], r.g.layout, &r.part); err != nil {
		return err
	}
	if r.parts == nil {
		r.parts, _ = r.merge(0)
	}
	if err := r.parts.seek(r.partKey); err != nil {
		return err
	}
	if r.inGap(r.partKey) {
		return damaged("its part from %#x is in a lost block", start)
	}
	for it := r.parts.item(); it != nil && bytes.Equal(it.key, r.partKey); it = r.parts.item() {
		if it.version <= base {
			if it.dead(r.s.now) {
				break
			}
			value, err := r.g.value(it, &r.partBuf)
			if err != nil {
				return fmt.Errorf("part from %#x: %w", start, err)
			}
			return r.roller.AddPart(value)
		}
		if err := r.parts.next(); err != nil {
			return err
		}
	}
	return damaged("its part from %#x is missing", start)
}

// schema reads the newest schema and types.
func (r *reader) schema(c Range) error {
	m, _ := r.merge(0)
	return eachKey(m, c.From, c.To, r.s.readTs, func(it *item) (bool, error) {
		if err := r.step(); err != nil || it.dead(r.s.now) {
			return true, err
		}
		r.key = append(r.key[:0], it.key...)
		if err := dgraph.ParseKey(r.g.layout, r.key, &r.k); err != nil {
			return true, r.lost(damaged("%v", err))
		}
		if r.g.banned[r.k.Namespace] {
			return true, nil
		}
		value, err := r.g.value(it, &r.valueBuf)
		if err == nil {
			err = r.convert(value)
		}
		if errors.Is(err, ErrDamaged) || errors.Is(err, dgraph.ErrCorrupt) {
			return true, r.lost(damaged("%s: %v", describe(&r.k), err))
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", describe(&r.k), err)
		}
		return true, r.put(dgraph.MetaSchema, 1)
	})
}

func (r *reader) convert(value []byte) (err error) {
	if r.k.Kind == dgraph.KeySchema {
		r.value, err = dgraph.ConvertSchema(r.value[:0], value, r.k.Predicate, r.form)
		return err
	}
	r.value, err = dgraph.ConvertType(r.value[:0], value, r.k.Predicate, r.g.form(), r.form)
	return err
}

// form is how names are written in the directory. Between the forms of 21.03 and
// later each name tells.
func (g *group) form() dgraph.Form {
	if g.layout == dgraph.LayoutV20 {
		return dgraph.FormV20
	}
	return dgraph.FormV23
}

// put emits r.k with r.value.
func (r *reader) put(userMeta byte, version uint64) (err error) {
	if r.inGap(r.key) {
		return nil
	}
	sortKey := r.key
	if r.g.layout != dgraph.LayoutV21 {
		if r.sortKey, err = dgraph.AppendKey(r.sortKey[:0], dgraph.LayoutV21, &r.k); err != nil {
			return err
		}
		sortKey = r.sortKey
	}
	r.backupKey = dgraph.AppendBackupKey(r.backupKey[:0], &r.k)
	r.entry = backupfile.Entry{Key: r.backupKey, Value: r.value, UserMeta: userMeta, Version: version}
	return r.emit(sortKey, &r.entry)
}
