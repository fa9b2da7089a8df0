package badgerdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/brock-backup/brock/host/dgraph"
)

// A listModel is what lists of uids should hold: key to uids.
type listModel map[string]map[uint64]bool

// backup is a list as a backup has it.
func backupList(uids map[uint64]bool) []byte {
	var deltas []byte
	last := uint64(0)
	for _, u := range slices.Sorted(maps.Keys(uids)) {
		deltas = binary.AppendUvarint(deltas, u-last)
		last = u
	}
	if len(deltas) == 0 {
		return nil
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), deltas)
}

// A listDB writes lists as an alpha does: deltas, now and then rolled up.
type listDB struct {
	t       *testing.T
	rnd     *rand.Rand
	db      *badger.DB
	p       dgraph.Packer
	model   listModel
	version uint64
}

func (d *listDB) key(k dgraph.Key) []byte {
	b, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *listDB) put(key, value []byte, meta byte) {
	e := badger.NewEntry(key, bytes.Clone(value)).WithMeta(meta)
	if meta != dgraph.MetaDelta {
		e.WithDiscard()
	}
	set(d.t, d.db, d.version, e)
}

// posting is one of a delta.
func posting(uid uint64, op uint64, value string) []byte {
	p := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uid)
	if value != "" {
		p = protowire.AppendBytes(protowire.AppendTag(p, 2, protowire.BytesType), []byte(value))
		p = protowire.AppendVarint(protowire.AppendTag(p, 4, protowire.VarintType), 1)
	}
	p = protowire.AppendVarint(protowire.AppendTag(p, 12, protowire.VarintType), op)
	return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), p)
}

// step changes one list.
func (d *listDB) step() {
	d.version += 1 + d.rnd.Uint64N(3)
	k := dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Name: fmt.Sprintf("p%d", d.rnd.IntN(4))}, UID: 1 + d.rnd.Uint64N(12)}
	key := d.key(k)
	list := d.model[string(key)]
	if list == nil {
		list = map[uint64]bool{}
		d.model[string(key)] = list
	}
	switch n := d.rnd.IntN(20); {
	case n < 13: // a delta
		var delta []byte
		if d.rnd.IntN(10) == 0 {
			clear(list)
			delta = posting(1<<64-1, 2, "_STAR_ALL")
		}
		touched := map[uint64]bool{}
		for range 1 + d.rnd.IntN(4) {
			uid, op := 1+d.rnd.Uint64N(40)<<(8*d.rnd.Uint64N(5)), uint64(1)
			if touched[uid] {
				continue
			}
			touched[uid] = true
			list[uid] = true
			if d.rnd.IntN(3) == 0 {
				op = 2
				delete(list, uid)
			}
			delta = append(delta, posting(uid, op, "")...)
		}
		d.put(key, delta, dgraph.MetaDelta)
	case n < 17: // rolled up
		d.roll(k, key, list)
	case n < 18 && d.rnd.IntN(12) == 0: // a long list, in parts
		for uid := range uint64(120_000) {
			list[uid*0x1000_0001+1] = true
		}
		d.roll(k, key, list)
	case n < 18:
		clear(list)
		remove(d.t, d.db, d.version, key)
	default:
		clear(list)
		d.put(key, nil, dgraph.MetaEmpty)
	}
}

func (d *listDB) roll(k dgraph.Key, key []byte, list map[uint64]bool) {
	main, parts, err := d.p.Pack(backupList(list))
	if err != nil {
		d.t.Fatal(err)
	}
	if main == nil {
		d.put(key, nil, dgraph.MetaEmpty)
		return
	}
	d.put(key, main, dgraph.MetaComplete)
	for _, part := range parts {
		k.StartUID = part.StartUID
		d.put(d.key(k), part.Value, dgraph.MetaComplete)
	}
}

// drop deletes a predicate and then records it, as an alpha does.
func (d *listDB) drop() {
	name := fmt.Sprintf("p%d", d.rnd.IntN(4))
	prefix := d.key(dgraph.Key{Kind: dgraph.KeyIndex, Predicate: dgraph.Predicate{Name: name}})
	prefix = prefix[:len(prefix)-1]
	parts := bytes.Clone(prefix)
	parts[0] = prefixPart
	if err := d.db.DropPrefix(prefix, parts); err != nil {
		d.t.Fatal(err)
	}
	for k := range d.model {
		if bytes.HasPrefix([]byte(k), prefix) {
			delete(d.model, k)
		}
	}
	d.version++
	value := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 1<<64-1)
	value = protowire.AppendBytes(protowire.AppendTag(value, 2, protowire.BytesType), []byte("DROP_ATTR;0-"+name))
	value = protowire.AppendVarint(protowire.AppendTag(value, 4, protowire.VarintType), 1)
	value = protowire.AppendVarint(protowire.AppendTag(value, 12, protowire.VarintType), 1)
	delta := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), value)
	d.put(d.key(dgraph.Key{Kind: dgraph.KeyData, Predicate: dgraph.Predicate{Name: dgraph.DropPredicate}, UID: 1000 + d.version}), delta, dgraph.MetaDelta)
}

// Random histories of lists: deltas, deletes of one uid and of all, roll-ups, parts, emptied and
// deleted lists, dropped predicates. What a chain of backups adds up to is, at each of
// them, what the model holds.
func TestRandomListChains(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("BROCK_TEST_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seed %d (BROCK_TEST_SEED)", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	for n := range 25 {
		dir := t.TempDir()
		d := &listDB{t: t, rnd: rnd, model: listModel{}, version: 1}
		restored := state{}
		since := uint64(0)
		for link := range 1 + rnd.IntN(6) {
			d.db = open(t, badgerOptions(dir).WithMemTableSize(8<<20))
			if link == 0 {
				for i := range 4 {
					d.put(d.key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: fmt.Sprintf("p%d", i)}}), nil, dgraph.MetaSchema)
				}
				d.put(d.key(dgraph.Key{Kind: dgraph.KeySchema, Predicate: dgraph.Predicate{Name: dgraph.DropPredicate}}), nil, dgraph.MetaSchema)
			}
			for range 1 + rnd.IntN(40) {
				d.step()
			}
			if rnd.IntN(4) == 0 {
				d.drop()
				for range rnd.IntN(20) {
					d.step()
				}
			}
			if rnd.IntN(3) == 0 {
				if err := d.db.Flatten(1); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.db.Close(); err != nil {
				t.Fatal(err)
			}
			s := source(t, dir, Options{})
			restored.apply(t, s, since)
			since = s.ReadTs()
			s.Close()
			check := func(what string, got state) {
				t.Helper()
				left := maps.Clone(got)
				for key, uids := range d.model {
					var k dgraph.Key
					if err := dgraph.ParseKey(dgraph.LayoutV21, []byte(key), &k); err != nil {
						t.Fatal(err)
					}
					bk := string(dgraph.AppendBackupKey(nil, &k))
					if want := backupList(uids); !bytes.Equal(left[bk], want) {
						t.Errorf("history %d, backup %d, %s: %s is %.40x, want %.40x", n, link+1, what, describe(&k), left[bk], want)
					}
					delete(left, bk)
				}
				for bk := range left {
					var k dgraph.Key
					if err := dgraph.ParseBackupKey([]byte(bk), &k); err != nil {
						t.Fatal(err)
					}
					if k.Kind == dgraph.KeyData && !k.Reserved() {
						t.Errorf("history %d, backup %d, %s: %s should not be there", n, link+1, what, describe(&k))
					}
				}
			}
			full := state{}
			s = source(t, dir, Options{})
			full.apply(t, s, 0)
			if ps, err := s.Predicates(1); err != nil || len(ps) < 5 {
				t.Errorf("predicates %v, %v", ps, err)
			}
			if _, _, err := s.Drops(context.Background(), 1, 0); err != nil {
				t.Error(err)
			}
			s.Close()
			check("full", full)
			check("chain", restored)
			if t.Failed() {
				return
			}
		}
	}
}
