package dgraph

import (
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
)

// realLists returns the lists of a real backup, as the backup has them and as Badger has
// them, and their keys likewise.
func realLists(b *testing.B) (backup, stored, backupKeys, keys [][]byte) {
	var p Packer
	eachEntry(b, "v25-plain", func(file string, kv *pb.KV) {
		var k Key
		if err := ParseBackupKey(kv.Key, &k); err != nil {
			b.Fatal(err)
		}
		key, err := AppendKey(nil, LayoutV21, &k)
		if err != nil {
			b.Fatal(err)
		}
		backupKeys, keys = append(backupKeys, kv.Key), append(keys, key)
		if kv.UserMeta[0] != MetaComplete {
			return
		}
		main, _, err := p.Pack(kv.Value)
		if err != nil {
			b.Fatal(err)
		}
		backup, stored = append(backup, kv.Value), append(stored, append([]byte(nil), main...))
	})
	return backup, stored, backupKeys, keys
}

func BenchmarkRollerOnCompleteLists(b *testing.B) {
	_, stored, _, _ := realLists(b)
	var (
		r   Roller
		out []byte
		n   int64
	)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		v := stored[i%len(stored)]
		n += int64(len(v))
		r.Reset()
		if _, err := r.Add(MetaComplete, v); err != nil {
			b.Fatal(err)
		}
		var err error
		if out, _, err = r.AppendBackupList(out[:0], UIDBytes); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(n / int64(b.N))
}

func BenchmarkRollerOnDeltas(b *testing.B) {
	v := delta(naivePosting(1<<64-1, 1, 1, "a value of common length", "", false)).value
	var (
		r   Roller
		out []byte
	)
	b.ReportAllocs()
	for range b.N {
		r.Reset()
		if _, err := r.Add(MetaDelta, v); err != nil {
			b.Fatal(err)
		}
		var err error
		if out, _, err = r.AppendBackupList(out[:0], UIDBytes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPacker(b *testing.B) {
	backup, _, _, _ := realLists(b)
	var (
		p Packer
		n int64
	)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		v := backup[i%len(backup)]
		n += int64(len(v))
		if _, _, err := p.Pack(v); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(n / int64(b.N))
}

func BenchmarkLongLists(b *testing.B) {
	l := naiveList{}
	for uid := uint64(1); uid < 200_000; uid++ {
		l[uid*3] = ""
	}
	backup, stored := l.backup(UIDBytes), l.stored()
	b.Run("roll", func(b *testing.B) {
		var (
			r   Roller
			out []byte
		)
		b.SetBytes(int64(len(stored)))
		for range b.N {
			r.Reset()
			if _, err := r.Add(MetaComplete, stored); err != nil {
				b.Fatal(err)
			}
			var err error
			if out, _, err = r.AppendBackupList(out[:0], UIDBytes); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pack", func(b *testing.B) {
		var p Packer
		b.SetBytes(int64(len(backup)))
		for range b.N {
			if _, _, err := p.Pack(backup); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkKeys(b *testing.B) {
	_, _, backupKeys, keys := realLists(b)
	b.Run("badger to backup", func(b *testing.B) {
		var (
			k   Key
			out []byte
		)
		b.ReportAllocs()
		for i := range b.N {
			if err := ParseKey(LayoutV21, keys[i%len(keys)], &k); err != nil {
				b.Fatal(err)
			}
			out = AppendBackupKey(out[:0], &k)
		}
	})
	b.Run("backup to badger", func(b *testing.B) {
		var (
			k   Key
			out []byte
		)
		b.ReportAllocs()
		for i := range b.N {
			err := ParseBackupKey(backupKeys[i%len(backupKeys)], &k)
			if err == nil {
				out, err = AppendKey(out[:0], LayoutV21, &k)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
