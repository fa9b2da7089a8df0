package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/brock-backup/brock/sdk"
)

const (
	format     = 1   // first byte of what is wrapped with a key of the KV store; it says how the rest was made
	dataKeyMax = 256 // bytes, well above the size of any data key
)

// A wrapper wraps data keys with a key that is derived from another one, so that no two uses of that one meet.
type wrapper struct {
	id   string
	aead cipher.AEAD
}

func newWrapper(key []byte) (wrapper, error) {
	kek := derive(key, "brock vaultkeys wrap", 32)
	defer clear(kek)
	block, err := aes.NewCipher(kek)
	if err != nil {
		return wrapper{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return wrapper{"vaultkeys/" + hex.EncodeToString(derive(key, "brock vaultkeys id", 8)), aead}, err
}

// derive panics only for lengths that HKDF cannot give.
func derive(key []byte, use string, length int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, use, length)
	if err != nil {
		panic(err)
	}
	return out
}

func (w wrapper) wrap(dataKey []byte) []byte {
	return w.aead.Seal([]byte{format}, nil, dataKey, nil) //nolint:gosec // the AEAD makes its own nonce
}

func (w wrapper) unwrap(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || ciphertext[0] != format {
		return nil, fmt.Errorf("wrapped key of %s is in no known format: %w", count(len(ciphertext), "byte"), sdk.ErrCorrupt)
	}
	dataKey, err := w.aead.Open(nil, nil, ciphertext[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("wrapped key of %s: %w", count(len(ciphertext), "byte"), sdk.ErrCorrupt)
	}
	return dataKey, nil
}

// checkDataKey refuses what is no data key.
func checkDataKey(dataKey []byte) error {
	if len(dataKey) == 0 || len(dataKey) > dataKeyMax {
		return fmt.Errorf("data key of %s: %w", count(len(dataKey), "byte"), sdk.ErrInvalid)
	}
	return nil
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
