package backupfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
)

// noise is bytes that no codec shrinks; the same in every run.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestKeyStreamSeeks(t *testing.T) {
	block, err := aes.NewCipher(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, iv := range [][]byte{
		noise(16),
		bytes.Repeat([]byte{0xff}, 16), // the counter wraps at once
		append(noise(8), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0),
	} {
		whole := make([]byte, 1000)
		cipher.NewCTR(block, iv).XORKeyStream(whole, whole)
		for offset := range whole {
			part := make([]byte, len(whole)-offset)
			keyStream(block, iv, int64(offset)).XORKeyStream(part, part)
			if !bytes.Equal(part, whole[offset:]) {
				t.Fatalf("iv %x: key stream differs at %d", iv, offset)
			}
		}
	}
}

func TestKeyCheckTellsKeysApart(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range keys {
		c := KeyCheck(key)
		if seen[c] || (len(c) != 16) != (key == nil) || c != KeyCheck(bytes.Clone(key)) {
			t.Errorf("KeyCheck(%d bytes) = %q", len(key), c)
		}
		seen[c] = true
	}
	// Commit records and seals hold it: it must never change.
	if got := KeyCheck(keys[3]); got != goldenKeyCheck {
		t.Errorf("KeyCheck = %s, want %s", got, goldenKeyCheck)
	}
}

func TestKeyLengths(t *testing.T) {
	for _, n := range []int{1, 15, 17, 31, 33, 64} {
		key := make([]byte, n)
		_, writer := NewWriter(new(bytes.Buffer), CodecSnappy, key)
		_, parse := ParseSeal(nil, key)
		_, encode := new(Seal).Encode(key)
		for who, err := range map[string]error{
			"writer": writer, "parse": parse, "encode": encode,
			"reader": NewReader(strings.NewReader(""), key).Next(new(Entry)),
			"sealed": NewSealedReader(strings.NewReader(""), key, &Seal{File: FileInfo{Blocks: make([]BlockInfo, 1)}}).Next(new(Entry)),
		} {
			if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "16, 24 or 32") {
				t.Errorf("%s with a key of %d bytes: %v", who, n, err)
			}
		}
	}
}

func TestWrongKey(t *testing.T) {
	other := noise(32)
	for _, c := range codecs {
		plain, _ := write(t, c, nil, 100, 10)
		secret, _ := write(t, c, keys[3], 100, 10)
		for _, test := range []struct {
			name      string
			file, key []byte
			says      string
		}{
			{"no key", secret, nil, "looks encrypted"},
			{"another key", secret, other, "decrypts to is no backup"},
			{"a key too many", plain, other, "not encrypted"},
		} {
			err := NewReader(bytes.NewReader(test.file), test.key).Next(new(Entry))
			if !errors.Is(err, ErrWrongKey) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, %s: %v", c, test.name, err)
			}
		}
	}
}
