package badgerdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v3"
	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

// A stored is an entry as it lies in Badger.
type stored struct {
	key, value []byte
	meta       byte
}

// large is the biggest fixture's full backup, as Badger has it, sorted: lists, then parts.
var large = sync.OnceValues(func() ([]stored, error) {
	root := os.Getenv("BROCK_FIXTURES")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	files, err := filepath.Glob(filepath.Join(root, "v25-large", "*", "*.backup"))
	if err != nil || len(files) == 0 {
		return nil, os.ErrNotExist
	}
	slices.Sort(files)
	f, err := os.Open(files[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := backupfile.NewReader(f, nil)
	var (
		e   backupfile.Entry
		k   dgraph.Key
		p   dgraph.Packer
		out []stored
	)
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if err := dgraph.ParseBackupKey(e.Key, &k); err != nil {
			return nil, err
		}
		add := func(value []byte, meta byte) error {
			key, err := dgraph.AppendKey(nil, dgraph.LayoutV21, &k)
			out = append(out, stored{key, bytes.Clone(value), meta})
			return err
		}
		if k.Kind == dgraph.KeySchema || k.Kind == dgraph.KeyType {
			if err := add(e.Value, dgraph.MetaSchema); err != nil {
				return nil, err
			}
			continue
		}
		main, parts, err := p.Pack(e.Value)
		if err != nil {
			return nil, err
		}
		if main == nil {
			continue
		}
		if err := add(main, dgraph.MetaComplete); err != nil {
			return nil, err
		}
		for _, part := range parts {
			k.StartUID = part.StartUID
			if err := add(part.Value, dgraph.MetaComplete); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out, func(a, b stored) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(out, func(a, b stored) bool { return bytes.Equal(a.key, b.key) }), nil
})

func cpu() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func writeLarge(b testing.TB, data []stored, dir string) int64 {
	w, err := Create(dir, WriterOptions{Kind: manifest.KindDgraph, Group: 1})
	if err != nil {
		b.Fatal(err)
	}
	n := int64(0)
	for _, s := range data {
		write := w.Write
		if s.key[0] == prefixPart {
			write = w.WritePart
		}
		if err := write(s.key, s.value, s.meta, 0, 1, 0); err != nil {
			b.Fatal(err)
		}
		n += int64(len(s.key) + len(s.value))
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return n
}

// Bytes and keys per CPU-second, over all threads.
func BenchmarkWrite(b *testing.B) {
	data, err := large()
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		before := cpu()
		n := writeLarge(b, data, filepath.Join(b.TempDir(), "p1"))
		used := cpu() - before
		b.ReportMetric(float64(n)/(1<<20)/used, "MiB/CPU-s")
		b.ReportMetric(float64(len(data))/used/1e6, "Mkeys/CPU-s")
	}
}

func BenchmarkRead(b *testing.B) {
	data, err := large()
	if err != nil {
		b.Skip(err)
	}
	dir := filepath.Join(b.TempDir(), "p1")
	n := writeLarge(b, data, dir)
	for b.Loop() {
		before := cpu()
		s := source(b, dir, Options{})
		ranges, err := s.Ranges(1, 0)
		if err != nil {
			b.Fatal(err)
		}
		keys := 0
		for _, r := range ranges {
			err := s.Read(context.Background(), 1, r, 0, dgraph.UIDBytes, dgraph.FormV23, func(_ []byte, e *backupfile.Entry) error {
				keys++
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
		used := cpu() - before
		b.ReportMetric(float64(n)/(1<<20)/used, "MiB/CPU-s")
		b.ReportMetric(float64(keys)/used/1e6, "Mkeys/CPU-s")
	}
}

// An increment of every tenth list, spread over all of them.
func BenchmarkIncrement(b *testing.B) {
	data, err := large()
	if err != nil {
		b.Skip(err)
	}
	dir := filepath.Join(b.TempDir(), "p1")
	writeLarge(b, data, dir)
	db := open(b, badgerOptions(dir))
	wb := db.NewWriteBatchAt(2)
	changed := 0
	for i := 0; i < len(data); i += 10 {
		if s := data[i]; s.key[0] == prefixData {
			changed++
			if err := wb.SetEntry(badger.NewEntry(s.key, s.value).WithMeta(s.meta)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := errors.Join(wb.Flush(), db.Close()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before := cpu()
		s := source(b, dir, Options{})
		entries := 0
		ranges, err := s.Ranges(1, 1)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range ranges {
			err := s.Read(context.Background(), 1, r, 1, dgraph.UIDBytes, dgraph.FormV23, func(_ []byte, e *backupfile.Entry) error {
				if e.UserMeta != dgraph.MetaSchema {
					entries++
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
		if entries != changed {
			b.Fatalf("%d lists, want %d", entries, changed)
		}
		b.ReportMetric(cpu()-before, "CPU-s")
	}
}
