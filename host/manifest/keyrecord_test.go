package manifest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func aKeyRecord() *KeyRecord {
	_, digest := Binding("a_b1", KindDgraph)
	return &KeyRecord{
		"a_b1", time.Date(2026, 11, 21, 4, 18, 13, 0, time.UTC), "vaultkeys", "00d1e2f3a4b5c697",
		WrappedKey{"transit/brock", "3", []byte{0, 1, 255}, digest},
	}
}

func TestKeyRecordReadsBack(t *testing.T) {
	want := aKeyRecord()
	data, err := EncodeKeyRecord(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseKeyRecord(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for i := range data {
		bad := append([]byte{}, data...)
		bad[i] ^= 1
		if _, err := ParseKeyRecord(bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
			t.Fatalf("byte %d is not vouched for: %v", i, err)
		}
	}
	if _, err := ParseKeyRecord(sign([]byte(`{"format":2,"anything":[]}`))); !errors.Is(err, ErrNewer) {
		t.Errorf("a later format: %v", err)
	}
	for _, bad := range []string{`{"format":1}`, `{}`, `[]`, strings.Replace(string(data), `"backup_id"`, `"backup_Id2"`, 1)} {
		if _, err := ParseKeyRecord(sign([]byte(bad))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v; want ErrCorrupt", bad, err)
		}
	}
}

// What could not be read again is not written: the wrapping before may be given up.
func TestKeyRecordThatCannotBeRead(t *testing.T) {
	for _, change := range []func(*KeyRecord){
		func(k *KeyRecord) { k.Wrapped.KeyID = "two\nlines" },
		func(k *KeyRecord) { k.Wrapped.KeyVersion = "\xff" },
		func(k *KeyRecord) { k.Wrapped.Ciphertext = nil },
		func(k *KeyRecord) { k.Wrapped.Ciphertext = make([]byte, MaxKeyRecordSize) },
		func(k *KeyRecord) { k.KeyCheck = "" },
	} {
		k := aKeyRecord()
		change(k)
		if data, err := EncodeKeyRecord(k); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s, %v; want ErrUnfit", data, err)
		}
	}
}

func TestKeyRecordNames(t *testing.T) {
	name := KeyRecordName("../a b", 12)
	if name != "brock/%2E./a%20b/key-12.json" && strings.Count(name, "/") != 2 {
		t.Errorf("name %s", name)
	}
	for name, want := range map[string]int{
		KeyRecordName("a", 1): 1, name: 12, "brock/a/key-0.json": 0, "brock/a/key-01.json": 0, "brock/a/1.json": 0,
		"brock/key-1.json": 0, "x/a/key-1.json": 0, "brock/a/b/key-1.json": 0, "brock/a/key-1": 0, "brock/a/key-.json": 0,
	} {
		if n, ok := IsKeyRecord(name); ok != (want > 0) || ok && n != want {
			t.Errorf("%s: %d, %v; want %d", name, n, ok, want)
		}
	}
}

func TestBinding(t *testing.T) {
	seen := map[string]bool{}
	for _, series := range []string{"a", "b", ""} {
		for _, kind := range []Kind{KindDgraph, KindBadger} {
			context, digest := Binding(series, kind)
			if seen[context] || seen[digest] || len(digest) != 64 {
				t.Errorf("%s %s: bound to %q, %s", series, kind, context, digest)
			}
			seen[context], seen[digest] = true, true
		}
	}
}
