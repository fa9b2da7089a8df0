package badgerdb

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// A KeyState is what a plain Badger database says of one key without a look at its
// values.
type KeyState struct {
	Key  []byte   // valid until the next one
	Live bool     // its newest version is no delete; it may have expired
	New  bool     // its newest version is newer than since
	Was  Liveness // what its newest version up to since says

	Version    uint64 // the newest
	WasVersion uint64 // the newest up to since; 0 if Was is Unknown
}

// Liveness says whether a key had a value at an earlier moment.
type Liveness int

// What a database may say of that.
const (
	Unknown Liveness = iota // no version from then is there: it may never have been, or be compacted away
	Dead
	Alive
)

// KeyStates yields the keys of a plain Badger database from from up to to, without to,
// of which there is any version up to the read timestamp. nil: from the first, to the
// last.
//
// DropPrefix, and a compaction that removes deletes, leave nothing of a key behind. An
// incremental backup does not see such a key, and a restore would bring it back: only
// who compares all keys with those of the backup before finds it.
func (s *Source) KeyStates(ctx context.Context, group uint32, from, to []byte, since uint64) iter.Seq2[KeyState, error] {
	return func(yield func(KeyState, error) bool) {
		g, err := s.group(group)
		if err != nil {
			yield(KeyState{}, err)
			return
		}
		if err := s.keyStates(ctx, g, from, to, s.since(since), yield); err != nil {
			yield(KeyState{}, fmt.Errorf("%s: %w", g.dir, err))
		}
	}
}

// keyStates returns nil once yield has enough.
func (s *Source) keyStates(ctx context.Context, g *group, from, to []byte, since uint64, yield func(KeyState, error) bool) error {
	m, _ := g.merge(0, func(err error) error { return err })
	defer m.close()
	if err := m.seek(from); err != nil {
		return err
	}
	var k KeyState
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		it := m.item()
		if it == nil || !below(it.key, to) {
			return nil
		}
		k = KeyState{Key: append(k.Key[:0], it.key...)}
		known := false
		for ; it != nil && slices.Equal(it.key, k.Key); it = m.item() {
			if it.version <= s.readTs {
				live := it.meta&metaDelete == 0
				if !known {
					known, k.Live, k.New, k.Version = true, live, it.version > since, it.version
				}
				if it.version <= since {
					k.Was, k.WasVersion = Dead, it.version
					if live {
						k.Was = Alive
					}
					if err := m.skip(k.Key); err != nil {
						return err
					}
					break
				}
			}
			if err := m.next(); err != nil {
				return err
			}
		}
		if known && !internal(k.Key) && !yield(k, nil) {
			return nil
		}
	}
}
