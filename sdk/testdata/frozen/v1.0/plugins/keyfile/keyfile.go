package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user writes for this key provider.
type Config struct {
	Path string `json:"path" required:"true" doc:"the key file: 16, 24 or 32 bytes" example:"/etc/brock/key"`
}

func open(_ context.Context, cfg Config) (*provider, error) {
	key, err := readKey(cfg.Path)
	if err != nil {
		return nil, err
	}
	p := &provider{path: cfg.Path, key: key, id: "keyfile/" + hex.EncodeToString(derive(key, "brock keyfile id", 8))}
	kek := derive(key, "brock keyfile wrap", 32)
	defer clear(kek)
	p.aead, err = newAEAD(kek)
	return p, err
}

// A provider holds one key. It wraps with another one that is derived from it,
// so that no two uses of the file meet.
type provider struct {
	path string
	id   string
	aead cipher.AEAD

	mu  sync.RWMutex
	key []byte // nil once it is closed
}

var (
	_ sdk.KeyProvider = (*provider)(nil)
	_ sdk.KeyExporter = (*provider)(nil)
)

// derive panics only for lengths that HKDF cannot give.
func derive(key []byte, use string, length int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, use, length)
	if err != nil {
		panic(err)
	}
	return out
}

// newAEAD is AES-256-GCM that puts a random nonce before what it seals.
func newAEAD(kek []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// format begins every ciphertext: 1 byte that says how the rest was made.
const format = 1

// maxDataKey is well above the size of any data key.
const maxDataKey = 256

// Wrap implements sdk.KeyProvider.
func (p *provider) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.usable(ctx); err != nil {
		return sdk.WrappedKey{}, err
	}
	if len(dataKey) == 0 || len(dataKey) > maxDataKey {
		return sdk.WrappedKey{}, fmt.Errorf("data key of %s: %w", count(int64(len(dataKey)), "byte"), sdk.ErrInvalid)
	}
	return sdk.WrappedKey{KeyID: p.id, Ciphertext: p.aead.Seal([]byte{format}, nil, dataKey, nil)}, nil //nolint:gosec // the AEAD makes its own nonce
}

// Unwrap implements sdk.KeyProvider.
func (p *provider) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	if w.KeyID != p.id {
		return nil, fmt.Errorf("the data key was wrapped by %.100q, and key file %s holds %q: %w", w.KeyID, p.path, p.id, sdk.ErrWrongKey)
	}
	if len(w.Ciphertext) == 0 || w.Ciphertext[0] != format {
		return nil, fmt.Errorf("wrapped key of %s is in no known format: %w", count(int64(len(w.Ciphertext)), "byte"), sdk.ErrCorrupt)
	}
	dataKey, err := p.aead.Open(nil, nil, w.Ciphertext[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("wrapped key of %s: %w", count(int64(len(w.Ciphertext)), "byte"), sdk.ErrCorrupt)
	}
	return dataKey, nil
}

// ExportKey implements sdk.KeyExporter.
func (p *provider) ExportKey(ctx context.Context) (sdk.Secret, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if err := p.usable(ctx); err != nil {
		return sdk.Secret{}, err
	}
	return sdk.NewSecret(p.key), nil
}

// usable is called with mu held.
func (p *provider) usable(ctx context.Context) error {
	if p.key == nil {
		return fmt.Errorf("key file %s: %w", p.path, fs.ErrClosed)
	}
	return ctx.Err()
}

// Close forgets the key.
func (p *provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.key)
	p.key = nil
	return nil
}
