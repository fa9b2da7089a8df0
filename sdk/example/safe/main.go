// Command brock-keyprovider-safe wraps keys with a key from its settings.
// Package sdk's README shows it.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user can set.
type Config struct {
	Key sdk.Secret `json:"key" required:"true" env:"SAFE_KEY" doc:"64 hexadecimal digits"`
}

func main() {
	sdk.ServeKeyProvider(sdk.Plugin{Name: "safe", Version: "0.1.0", Doc: "Wraps keys with a key from its settings."}, open)
}

type safe struct {
	id   string
	aead cipher.AEAD
}

func open(_ context.Context, c Config) (*safe, error) {
	key, err := hex.DecodeString(c.Key.RevealString())
	if err != nil || len(key) != 32 { // err shows a part of the key
		return nil, sdk.WithHint(fmt.Errorf("setting key: %w", sdk.ErrInvalid), "make one with: openssl rand -hex 32")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	sum := sha256.Sum256(append([]byte("id of a safe "), key...))
	return &safe{"safe/" + hex.EncodeToString(sum[:8]), aead}, err
}

func (s *safe) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	return sdk.WrappedKey{KeyID: s.id, Ciphertext: s.aead.Seal(nil, nil, dataKey, nil)}, ctx.Err() //nolint:gosec // the AEAD makes its own nonce
}

func (s *safe) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	if w.KeyID != s.id {
		return nil, fmt.Errorf("wrapped by %.100q, this key is %s: %w", w.KeyID, s.id, sdk.ErrWrongKey)
	}
	dataKey, err := s.aead.Open(nil, nil, w.Ciphertext, nil)
	if err != nil {
		return nil, fmt.Errorf("wrapped key of %d bytes: %w", len(w.Ciphertext), sdk.ErrCorrupt)
	}
	return dataKey, ctx.Err()
}
