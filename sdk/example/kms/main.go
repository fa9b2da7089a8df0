// Command brock-keyprovider-kms has keys wrapped by a key service: what a vendor
// of one would copy. The service, of which the test has one, is asked by HTTP.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/brock-backup/brock/sdk"
)

// Config is what a user can set.
type Config struct {
	URL   string     `json:"url"   required:"true" doc:"address of the key in the service" example:"https://kms.example.com/keys/backup"`
	Token sdk.Secret `json:"token" required:"true" env:"KMS_TOKEN" doc:"credential"`
}

func main() {
	sdk.ServeKeyProvider(sdk.Plugin{Name: "kms", Version: "0.1.0", Doc: "Has keys wrapped by the key service of Example."}, open)
}

type kms struct{ Config }

func open(_ context.Context, c Config) (*kms, error) { return &kms{c}, nil }

// A message is what the service is told, and what it answers.
type message struct {
	Key       string `json:"key,omitempty"`
	Version   int    `json:"version,omitempty"`
	Plaintext []byte `json:"plaintext,omitempty"`
	Wrapped   []byte `json:"wrapped,omitempty"`
}

// kinds are what the service's refusals mean to the host. All else is only shown.
var kinds = map[int]error{
	http.StatusBadRequest: sdk.ErrInvalid, http.StatusUnauthorized: sdk.ErrPermission, http.StatusForbidden: sdk.ErrPermission,
	http.StatusConflict: sdk.ErrWrongKey, http.StatusTooManyRequests: sdk.ErrUnavailable, http.StatusServiceUnavailable: sdk.ErrUnavailable,
}

func (k *kms) call(ctx context.Context, verb string, in message) (out message, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL+":"+verb, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("setting url: %w", sdk.ErrInvalid)
	}
	req.Header.Set("Authorization", "Bearer "+k.Token.RevealString())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, fmt.Errorf("%w: %w", sdk.ErrUnavailable, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK { // what the service says of it may repeat what it was told
		return out, fmt.Errorf("%s: %s: %w", verb, res.Status, kinds[res.StatusCode])
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&out)
	return out, err
}

func (m message) wrappedKey() sdk.WrappedKey {
	return sdk.WrappedKey{KeyID: m.Key, KeyVersion: strconv.Itoa(m.Version), Ciphertext: m.Wrapped}
}

func (k *kms) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	m, err := k.call(ctx, "wrap", message{Plaintext: dataKey})
	return m.wrappedKey(), err
}

func (k *kms) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	m, err := k.call(ctx, "unwrap", message{Key: w.KeyID, Wrapped: w.Ciphertext})
	return m.Plaintext, err
}

// What follows is for services whose key has versions; others leave it out.

func (k *kms) KeyStatus(ctx context.Context) (sdk.KeyStatus, error) {
	m, err := k.call(ctx, "status", message{})
	return sdk.KeyStatus{KeyID: m.Key, KeyVersion: strconv.Itoa(m.Version)}, err
}

func (k *kms) RotateKey(ctx context.Context) (sdk.KeyStatus, error) {
	m, err := k.call(ctx, "rotate", message{})
	return sdk.KeyStatus{KeyID: m.Key, KeyVersion: strconv.Itoa(m.Version)}, err
}

func (k *kms) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	m, err := k.call(ctx, "generate", message{})
	return sdk.NewSecret(m.Plaintext), m.wrappedKey(), err
}

func (k *kms) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	m, err := k.call(ctx, "rewrap", message{Key: w.KeyID, Wrapped: w.Ciphertext})
	return m.wrappedKey(), err
}
