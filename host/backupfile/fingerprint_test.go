package backupfile

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func TestFingerprintKnowsNoOrder(t *testing.T) {
	for _, key := range keys {
		want := NewFingerprint(key)
		for i := range 1000 {
			e := entry(i)
			want.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
		}
		parts := []*Fingerprint{NewFingerprint(key), NewFingerprint(key), NewFingerprint(key)}
		for _, i := range rand.Perm(1000) {
			e := entry(i)
			parts[i%3].Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
		}
		got := NewFingerprint(key)
		for _, p := range parts {
			got.Merge(p)
		}
		if got.Sum() != want.Sum() {
			t.Errorf("%x, want %x", got.Sum(), want.Sum())
		}
		e := entry(500)
		got.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
		if got.Sum() == want.Sum() {
			t.Error("an entry that is there twice is not noticed")
		}
	}
}

func TestFingerprintTellsEntriesApart(t *testing.T) {
	seen := map[[16]byte]string{}
	add := func(what string, key []byte, k, v string, meta byte, expires uint64) {
		f := NewFingerprint(key)
		f.Add([]byte(k), []byte(v), meta, expires)
		if other, ok := seen[f.Sum()]; ok {
			t.Errorf("%s and %s have one fingerprint", what, other)
		}
		seen[f.Sum()] = what
	}
	seen[NewFingerprint(nil).Sum()] = "nothing"
	add("empty", nil, "", "", 0, 0)
	add("ab+c", nil, "ab", "c", 0, 0)
	add("a+bc", nil, "a", "bc", 0, 0)
	add("abc+", nil, "abc", "", 0, 0)
	add("+abc", nil, "", "abc", 0, 0)
	add("meta", nil, "ab", "c", 1, 0)
	add("expiry", nil, "ab", "c", 0, 1)
	add("expiry high", nil, "ab", "c", 0, 1<<63)
	add("key 16", keys[1], "ab", "c", 0, 0)
	add("key 32", keys[3], "ab", "c", 0, 0)
	// One field spelt into the next.
	add("spelt", nil, "a", "\x00\x00\x01c", 0, 0)
	add("spelt too", nil, "a\x00\x00\x01c", "", 0, 0)
}

// Seals hold fingerprints: what they are must never change.
func TestFingerprintIsStable(t *testing.T) {
	for i, want := range goldenFingerprints {
		f := NewFingerprint(keys[i])
		for i := range 100 {
			e := entry(i)
			f.Add(e.Key, e.Value, e.UserMeta, e.ExpiresAt)
		}
		if s := f.Sum(); hex.EncodeToString(s[:]) != want {
			t.Errorf("%x, want %s", s, want)
		}
	}
}

// Two sets of keys have one sum if and only if they are the same, in whatever order
// and pieces they were added.
func TestKeySum(t *testing.T) {
	for _, key := range [][]byte{nil, keys[3]} {
		sum := func(set ...string) [16]byte {
			s := NewKeySum(key)
			for _, k := range set {
				s.Add([]byte(k))
			}
			return s.Sum()
		}
		if sum("a", "b", "c") != sum("c", "a", "b") {
			t.Error("the order matters")
		}
		a, b := NewKeySum(key), NewKeySum(key)
		a.Add([]byte("a"))
		b.Add([]byte("b"))
		a.Merge(b)
		if a.Sum() != sum("a", "b") {
			t.Error("pieces matter")
		}
		for _, other := range [][16]byte{sum(), sum("a"), sum("ab"), sum("a", "c"), sum("a", "b", "b"), sum("a", "b", "")} {
			if other == sum("a", "b") {
				t.Error("another set has the same sum")
			}
		}
		if a.Reset(); a.Sum() != sum() {
			t.Error("a sum that was reset is not that of nothing")
		}
	}
	open, keyed := NewKeySum(nil), NewKeySum(keys[3])
	open.Add([]byte("k"))
	keyed.Add([]byte("k"))
	if open.Sum() == keyed.Sum() {
		t.Error("the data key does not matter")
	}
}
