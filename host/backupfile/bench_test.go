package backupfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// list22 looks like what a Dgraph backup holds: short keys that share most of
// their bytes, short lists and values.
func list22(n int) []Entry {
	random := noise(n * 8)
	all := make([]Entry, n)
	for i := range all {
		key := binary.BigEndian.AppendUint64([]byte("\x08\x01\x12\x04name\x18"), uint64(i*3))
		value := fmt.Appendf([]byte("\x12\x20\x09\xff\xff\xff\xff\xff\xff\xff\xff\x12"), "person %x", random[8*i:8*i+5])
		all[i] = Entry{Key: key, Value: value, UserMeta: 8, Version: 86634}
	}
	return all
}

func BenchmarkEncode(b *testing.B) {
	entries := list22(100_000)
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			enc := NewBlockEncoder(c)
			var raw, stored int64
			for b.Loop() {
				w, _ := NewWriter(io.Discard, c, keys[3])
				raw, stored = 0, 0
				put := func() {
					block, err := enc.Flush()
					if err != nil {
						b.Fatal(err)
					}
					raw, stored = raw+block.Raw, stored+int64(len(block.Data))
					if err := w.Write(block); err != nil {
						b.Fatal(err)
					}
					block.Release()
				}
				for i := range entries {
					if enc.Add(entries[i].Key, &entries[i]); enc.Raw() >= BlockSize {
						put()
					}
				}
				put()
				if _, err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(raw)
			b.ReportMetric(float64(raw)/float64(stored), "ratio")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	entries := list22(100_000)
	for _, c := range codecs {
		file, info := encode(b, c, keys[3], entries)
		var raw int64
		for _, block := range info.Blocks {
			raw += block.Raw
		}
		for name, open := range map[string]func() *Reader{
			"":        func() *Reader { return NewReader(bytes.NewReader(file), keys[3]) },
			"-sealed": func() *Reader { return NewSealedReader(bytes.NewReader(file), keys[3], &Seal{File: info}) },
		} {
			b.Run(c.String()+name, func(b *testing.B) {
				b.SetBytes(raw)
				for b.Loop() {
					r := open()
					var e Entry
					n := 0
					for ; ; n++ {
						if err := r.Next(&e); errors.Is(err, io.EOF) {
							break
						} else if err != nil {
							b.Fatal(err)
						}
					}
					if n != len(entries) {
						b.Fatalf("%d entries", n)
					}
				}
			})
		}
	}
}

func encode(b *testing.B, c Codec, key []byte, entries []Entry) ([]byte, FileInfo) {
	b.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, c, key)
	if err != nil {
		b.Fatal(err)
	}
	enc := NewBlockEncoder(c)
	for i := range entries {
		if enc.Add(entries[i].Key, &entries[i]); enc.Raw() >= BlockSize {
			flush(b, w, enc)
		}
	}
	flush(b, w, enc)
	info, err := w.Close()
	if err != nil {
		b.Fatal(err)
	}
	return file.Bytes(), info
}

func BenchmarkFingerprint(b *testing.B) {
	entries := list22(1000)
	f := NewFingerprint(keys[3])
	i := 0
	for b.Loop() {
		e := &entries[i%len(entries)]
		f.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mentries/s")
}

// BenchmarkRealBackup reads the large file of Dgraph 25: 70 MB of S2.
func BenchmarkRealBackup(b *testing.B) {
	names, err := filepath.Glob(filepath.Join(fixture(b, "v25-large", false), "*", "r11821-g1.backup"))
	if err != nil || len(names) != 1 {
		b.Fatal(names, err)
	}
	file, err := os.ReadFile(names[0])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r := NewReader(bytes.NewReader(file), nil)
		raw, n := int64(0), 0
		var e Entry
		for ; ; n++ {
			if err := r.Next(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			raw += int64(len(e.Key) + len(e.Value))
		}
		b.SetBytes(raw)
		b.ReportMetric(float64(n), "entries")
	}
}
