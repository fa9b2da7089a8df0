package host

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
)

// randomKey is a Dgraph data key: the sorter's shortcut relies on their shape.
func randomKey(r *rand.Rand) []byte {
	name := []string{"a", "ab", "b", "name", "nam\x00"}[r.IntN(5)]
	key := append([]byte{byte(r.IntN(3)), 0, 0, 0, 0, 0, 0, 0, byte(r.IntN(2))}, 0, byte(len(name)))
	key = append(key, name...)
	return binary.BigEndian.AppendUint64(append(key, byte(r.IntN(3))), uint64(r.IntN(500)))
}

func TestSorter(t *testing.T) {
	for _, kind := range []manifest.Kind{manifest.KindDgraph, manifest.KindBadger} {
		for _, limit := range []int64{1 << 10, 1 << 14, 1 << 30} {
			t.Run(fmt.Sprintf("%s/%d", kind, limit), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(limit)))
				dir := t.TempDir()
				s := newSorter(dir, limit, kind)
				var want []item
				for range 5000 {
					it := item{key: randomKey(r), index: r.IntN(4)}
					if kind == manifest.KindBadger {
						it.key = it.key[:r.IntN(len(it.key))]
					}
					it.e = backupfile.Entry{Value: make([]byte, r.IntN(40)), UserMeta: byte(r.IntN(256)), Version: uint64(r.IntN(1000)), ExpiresAt: r.Uint64()}
					want = append(want, it)
					if err := s.add(it.key, it.index, &it.e); err != nil {
						t.Fatal(err)
					}
				}
				slices.SortStableFunc(want, func(a, b item) int { return a.before(&b) })
				streams, err := s.streams()
				if err != nil {
					t.Fatal(err)
				}
				m, err := newMerge(streams)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					it, err := m.next()
					if err != nil || it == nil {
						t.Fatalf("item %d: %v", i, err)
					}
					if it.before(&want[i]) != 0 {
						t.Fatalf("item %d is %x of %d, want %x of %d", i, it.key, it.index, want[i].key, want[i].index)
					}
				}
				if it, err := m.next(); it != nil || err != nil {
					t.Errorf("after the last item: %v, %v", it, err)
				}
				s.close()
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("%d runs are left", len(left))
				}
			})
		}
	}
}
