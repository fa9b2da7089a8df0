package store

import (
	"github.com/brock-backup/brock/host/dgraph"
)

// maxRolls is how many lists wait to be rolled up. What finds no place waits for its next
// deltas.
const maxRolls = 256

// A roll is a list that has many deltas.
type roll struct {
	group uint32
	key   []byte
}

// noteHot counts what a commit wrote.
func (s *Store) noteHot(entries []entry) {
	for i := range entries {
		e := &entries[i]
		if e.userMeta != dgraph.MetaDelta || !s.hot.add(e.key) {
			continue
		}
		select {
		case s.rolls <- roll{e.group, e.key}:
		default:
		}
	}
}

// rollUps rolls lists up beside the committer's work, one after the other.
func (s *Store) rollUps() {
	for {
		select {
		case r := <-s.rolls:
			if err := s.rollUp(r); err != nil {
				s.opt.Logger.Warn("a list could not be rolled up; that is tried again later", "error", err)
			}
		case <-s.stop:
			return
		}
	}
}

// rollUp reads a list and writes it as one, at the version of its newest delta: nothing
// that is newer is touched, and a backup since then does not take it for new. It goes
// through the log, because a replay of its deltas would hide it otherwise. Its parts are
// one record with it: older parts may go as soon as there are new ones.
func (s *Store) rollUp(r roll) error {
	var k dgraph.Key
	if err := dgraph.ParseKey(dgraph.LayoutV21, r.key, &k); err != nil {
		return err
	}
	s.mu.RLock()
	epoch := s.epoch
	s.mu.RUnlock()
	entries, err := s.rolledUp(r.group, &k)
	if err != nil || len(entries) == 0 {
		return err
	}
	err = s.exclusive(s.ctx, func() error {
		if s.epoch != epoch {
			return nil // it may have been dropped, or moved
		}
		return s.write(&record{kind: recordRoll, ts: s.ts, entries: entries})
	})
	if s.ctx.Err() != nil {
		return nil //nolint:nilerr // it is too late for that
	}
	return err
}

// rolledUp reads a list and makes it one, if it still is in that group. Its view is closed
// when it returns: a Replace waits for it, and the committer for the Replace.
func (s *Store) rolledUp(group uint32, k *dgraph.Key) ([]entry, error) {
	v, err := s.View()
	if err != nil {
		return nil, nil // closed, or about to be replaced
	}
	defer v.Close()
	if state, ok := v.schema.predicates[k.Predicate]; !ok || state.Group != group {
		return nil, nil
	}
	list, version, err := v.reader.read(group, k)
	if err != nil || version == 0 {
		return nil, err
	}
	return wholeList(group, k, list, version)
}

// newEpoch has roll-ups that read before now come to nothing.
func (s *Store) newEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

// wholeList is a list as a complete one at version, in parts if it is long.
func wholeList(group uint32, k *dgraph.Key, list []byte, version uint64) ([]entry, error) {
	key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, k)
	if err != nil {
		return nil, err
	}
	main := entry{group: group, key: key, userMeta: dgraph.MetaEmpty, version: version, discard: true}
	if list == nil {
		return []entry{main}, nil
	}
	var packer dgraph.Packer
	value, parts, err := packer.Pack(list)
	if err != nil {
		return nil, err
	}
	main.value, main.userMeta = append([]byte(nil), value...), dgraph.MetaComplete
	out := make([]entry, 0, len(parts)+1)
	part := *k
	for _, p := range parts {
		part.StartUID = p.StartUID
		key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &part)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{group: group, key: key, value: append([]byte(nil), p.Value...), userMeta: dgraph.MetaComplete, version: version, discard: true})
	}
	return append(out, main), nil
}
