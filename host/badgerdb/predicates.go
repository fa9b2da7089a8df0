package badgerdb

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// Predicates lists the predicates that a group owns, sorted: those with a schema, and those
// that only have data, as the companions of vector predicates.
func (s *Source) Predicates(id uint32) ([]dgraph.Predicate, error) {
	g, err := s.group(id)
	if err != nil || s.kind != manifest.KindDgraph {
		return nil, err
	}
	m, _ := g.merge(0, s.lost)
	defer m.close()
	set := map[dgraph.Predicate]bool{}
	var k dgraph.Key
	err = eachKey(m, []byte{prefixSchema}, []byte{prefixType}, s.readTs, func(it *item) (bool, error) {
		if err := dgraph.ParseKey(g.layout, it.key, &k); err != nil {
			return true, s.lost(damaged("%v", err))
		}
		if !it.dead(s.now) && !g.banned[k.Namespace] {
			set[k.Predicate] = true
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.ofData(g, m, set); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b dgraph.Predicate) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}), nil
}

// lost decides about damage outside of Read.
func (s *Source) lost(err error) error {
	if !s.opt.AcceptDamaged {
		return err
	}
	s.note(err.Error())
	return nil
}

// ofData adds the predicates that have any data. It jumps from each to the next.
func (s *Source) ofData(g *group, m *merge, set map[dgraph.Predicate]bool) error {
	var k dgraph.Key
	for from := []byte{prefixData}; from != nil; {
		var next []byte
		err := eachKey(m, from, []byte{prefixSchema}, s.readTs, func(it *item) (bool, error) {
			if err := dgraph.ParseKey(g.layout, it.key, &k); err != nil {
				if errors.Is(err, dgraph.ErrZeroUID) {
					return true, nil
				}
				return true, s.lost(damaged("%v", err))
			}
			if !set[k.Predicate] && (it.dead(s.now) || it.userMeta == dgraph.MetaEmpty) && !g.banned[k.Namespace] {
				return true, nil // look for a better one
			}
			if !g.banned[k.Namespace] {
				set[k.Predicate] = true
			}
			var err error
			next, err = behind(g.layout, k.Predicate)
			return false, err
		})
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// behind is a key behind all data keys of a predicate.
func behind(l dgraph.Layout, p dgraph.Predicate) ([]byte, error) {
	key, err := dgraph.AppendKey(nil, l, &dgraph.Key{Kind: dgraph.KeyIndex, Predicate: p})
	if err != nil {
		return nil, err
	}
	key[len(key)-1] = 0xff // the byte that says data, index and so on
	return key, nil
}
