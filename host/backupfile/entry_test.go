package backupfile

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/dgraph-io/badger/v3/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Every combination of fields that are there and fields that are not.
func someEntries() []Entry {
	var all []Entry
	for i := range 64 {
		pick := func(bit int, v uint64) uint64 {
			if i>>bit&1 == 0 {
				return 0
			}
			return v
		}
		e := Entry{
			UserMeta: byte(pick(2, 0x10)), Meta: byte(pick(3, 5)),
			Version: pick(4, 1<<63+uint64(i)), ExpiresAt: pick(5, 300),
		}
		if i&1 != 0 {
			e.Key = []byte{0, byte(i)}
		}
		if i&2 != 0 {
			e.Value = bytes.Repeat([]byte("v"), 100*i)
		}
		all = append(all, e)
	}
	return all
}

func TestBadgerReadsOurEntries(t *testing.T) {
	var ours []byte
	for _, e := range someEntries() {
		ours = appendEntry(ours, &e)
	}
	var theirs pb.KVList
	if err := theirs.Unmarshal(ours); err != nil {
		t.Fatal(err)
	}
	for i, e := range someEntries() {
		kv := theirs.Kv[i]
		got := Entry{Key: kv.Key, Value: kv.Value, UserMeta: kv.UserMeta[0], Version: kv.Version, ExpiresAt: kv.ExpiresAt}
		if len(kv.Meta) > 0 {
			got.Meta = kv.Meta[0]
		}
		if !same(&got, &e) || len(kv.UserMeta) != 1 {
			t.Errorf("entry %d is %v, want %v", i, kv, e)
		}
	}
}

func TestWeReadBadgersEntries(t *testing.T) {
	theirs := pb.KVList{AllocRef: 7}
	for _, e := range someEntries() {
		kv := &pb.KV{Key: e.Key, Value: e.Value, Version: e.Version, ExpiresAt: e.ExpiresAt, StreamId: 3, StreamDone: len(e.Key) > 0}
		if e.UserMeta != 0 {
			kv.UserMeta = []byte{e.UserMeta}
		}
		if e.Meta != 0 {
			kv.Meta = []byte{e.Meta}
		}
		theirs.Kv = append(theirs.Kv, kv)
	}
	b, err := theirs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	l := list(b)
	for i, want := range someEntries() {
		var got Entry
		if err := l.next(&got); err != nil || !same(&got, &want) {
			t.Fatalf("entry %d is %+v, %v; want %+v", i, got, err, want)
		}
	}
	if err := l.next(new(Entry)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last entry: %v", err)
	}
}

func TestEntriesOfLaterVersions(t *testing.T) {
	kv := appendEntry(nil, &Entry{Key: []byte("k"), UserMeta: 8})
	unknown := protowire.AppendTag(nil, 12, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 2)
	unknown = protowire.AppendTag(unknown, 99, protowire.StartGroupType)
	unknown = protowire.AppendTag(unknown, 99, protowire.EndGroupType)
	kv = append(kv, unknown...)
	kv[1] += byte(len(unknown))
	l := list(append(kv, unknown...))
	var e Entry
	if err := l.next(&e); err != nil || string(e.Key) != "k" || e.UserMeta != 8 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := l.next(&e); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestDamagedLists(t *testing.T) {
	for name, l := range map[string]string{
		"user meta of two bytes": "\x0a\x04\x1a\x02\x01\x02",
		"meta of two bytes":      "\x0a\x04\x32\x02\x01\x02",
		"key that is a number":   "\x0a\x02\x08\x01",
		"version that is bytes":  "\x0a\x03\x22\x01\x01",
		"list that is a number":  "\x08\x01",
		"entry longer than list": "\x0a\x05\x1a\x01\x01",
		"key longer than entry":  "\x0a\x03\x0a\x05a",
		"tag cut short":          "\x0a\x01\x80",
		"tag of field zero":      "\x0a\x02\x02\x00",
		"endless version":        "\x0a\x0b\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"group that is not open": "\x0a\x01\x7c",
	} {
		rest := list(l)
		if err := rest.next(new(Entry)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Next yields pieces of the frame: nothing is copied, however large.
func TestEntriesAliasTheFrame(t *testing.T) {
	var frame []byte
	for i := range 100 {
		frame = appendEntry(frame, entry(i))
	}
	var e Entry
	if n := testing.AllocsPerRun(100, func() {
		l := list(frame)
		for l.next(&e) == nil {
		}
	}); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}
