package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/brock-backup/brock/sdk"
)

// A kv has one key, the field of a secret, as it was when it was opened.
type kv struct {
	v       *vault
	path    string // of the secret, with the data/ of version 2
	version string // of the secret; "" if the store keeps none
	wrapper wrapper

	mu  sync.RWMutex
	key []byte // nil once it is closed
}

var (
	_ provider        = (*kv)(nil)
	_ sdk.KeyExporter = (*kv)(nil)
)

func openKV(ctx context.Context, v *vault) (*kv, error) {
	k := &kv{v: v, path: v.cfg.Path}
	s, err := k.find(ctx)
	if err != nil {
		return nil, err
	}
	defer s.clear()
	if k.key, err = s.key(v.cfg.Field, v.cfg.Format); err != nil {
		return nil, err
	}
	k.version = s.version
	if k.wrapper, err = newWrapper(k.key); err != nil {
		clear(k.key)
		return nil, err
	}
	return k, nil
}

// Wrap implements sdk.KeyProvider.
func (k *kv) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.usable(ctx); err != nil {
		return sdk.WrappedKey{}, err
	}
	if err := checkDataKey(dataKey); err != nil {
		return sdk.WrappedKey{}, err
	}
	return sdk.WrappedKey{KeyID: k.wrapper.id, KeyVersion: k.version, Ciphertext: k.wrapper.wrap(dataKey)}, nil
}

// Unwrap implements sdk.KeyProvider. If the secret is not what it was, it reads the version that wrapped the data key.
func (k *kv) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.usable(ctx); err != nil {
		return nil, err
	}
	if w.KeyID == k.wrapper.id {
		return k.wrapper.unwrap(w.Ciphertext)
	}
	other, err := k.earlier(ctx, w)
	if err != nil {
		return nil, err
	}
	return other.unwrap(w.Ciphertext)
}

// earlier returns the wrapper of another version of the secret.
func (k *kv) earlier(ctx context.Context, w sdk.WrappedKey) (none wrapper, err error) {
	wrong := fmt.Errorf("%s: the data key was wrapped by %.100q, and %s holds %q: %w", k.v.place, w.KeyID, k.name(k.version), k.wrapper.id, sdk.ErrWrongKey)
	version, err := strconv.Atoi(w.KeyVersion)
	if err != nil || version < 1 || k.version == "" || w.KeyVersion == k.version {
		return none, wrong
	}
	s, err := k.read(ctx, k.path, version)
	if errors.Is(err, sdk.ErrNotExist) {
		tip := sdk.Hint(err)
		err = fmt.Errorf("%s: the data key was wrapped by %.100q, which was %s: %s: %w", k.v.place, w.KeyID, k.name(w.KeyVersion), err.Error(), sdk.ErrWrongKey)
		return none, sdk.WithHint(err, tip)
	}
	if err != nil {
		return none, err
	}
	defer s.clear()
	key, err := s.key(k.v.cfg.Field, k.v.cfg.Format)
	if err != nil {
		return none, fmt.Errorf("%w: %w", wrong, err)
	}
	defer clear(key)
	other, err := newWrapper(key)
	if err == nil && other.id != w.KeyID {
		err = wrong
	}
	return other, err
}

// ExportKey implements sdk.KeyExporter.
func (k *kv) ExportKey(ctx context.Context) (sdk.Secret, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.usable(ctx); err != nil {
		return sdk.Secret{}, err
	}
	return sdk.NewSecret(k.key), nil
}

// KeyStatus implements sdk.KeyRotator. It reads the secret again, and so tells whether Vault is still there.
func (k *kv) KeyStatus(ctx context.Context) (sdk.KeyStatus, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if err := k.usable(ctx); err != nil {
		return sdk.KeyStatus{}, err
	}
	s, err := k.read(ctx, k.path, k.v.cfg.Version)
	if err != nil {
		return sdk.KeyStatus{}, err
	}
	defer s.clear()
	detail := fmt.Sprintf("field %s of %s", k.v.cfg.Field, k.name(k.version))
	if s.version != k.version {
		detail += fmt.Sprintf(", where version %s has been written since", s.version)
	}
	return sdk.KeyStatus{KeyID: k.wrapper.id, KeyVersion: k.version, Detail: detail}, nil
}

// GenerateDataKey implements sdk.KeyRotator. The KV store makes no keys: this plugin does.
func (k *kv) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	dataKey := make([]byte, 32)
	defer clear(dataKey)
	_, _ = rand.Read(dataKey) // never fails
	w, err := k.Wrap(ctx, dataKey)
	if err != nil {
		return sdk.Secret{}, w, err
	}
	return sdk.NewSecret(dataKey), w, nil
}

// RotateKey implements sdk.KeyRotator. The key is Dgraph's as well: who writes another must tell Dgraph.
func (k *kv) RotateKey(context.Context) (sdk.KeyStatus, error) {
	return sdk.KeyStatus{}, sdk.WithHint(fmt.Errorf("%s: %s is not changed by a backup tool: %w", k.v.place, k.path, sdk.ErrUnsupported),
		"write a new key yourself: head -c 32 /dev/urandom | base64 -w0 | vault kv patch STORE/NAME "+k.v.cfg.Field+"=-; it encrypts new series (--force-full); older ones are read with the setting version, of the key that they were made with")
}

// Rewrap implements sdk.KeyRotator.
func (k *kv) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	dataKey, err := k.Unwrap(ctx, w)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	defer clear(dataKey)
	return k.Wrap(ctx, dataKey)
}

// name names the secret, or one version of it.
func (k *kv) name(version string) string {
	if version == "" {
		return k.path
	}
	return "version " + version + " of " + k.path
}

// usable is called with mu held.
func (k *kv) usable(ctx context.Context) error {
	if k.key == nil {
		return fmt.Errorf("%s: %w", k.v.place, fs.ErrClosed)
	}
	return ctx.Err()
}

// Close forgets the key.
func (k *kv) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil {
		return nil
	}
	clear(k.key)
	k.key = nil
	k.v.close(context.Background())
	return nil
}

// A secret is what a path of the KV store holds.
type secret struct {
	place, path string
	version     string // "" if the store keeps none
	fields      map[string]json.RawMessage
}

func (s *secret) clear() {
	for _, f := range s.fields {
		clear(f)
	}
}

// find reads the secret. In version 2 of the store the API wants a data/ behind the path of the store, which vault's
// command line puts there itself, so that people leave it out: then it finds out where.
func (k *kv) find(ctx context.Context) (*secret, error) {
	s, err := k.read(ctx, k.path, k.v.cfg.Version)
	r, refused := errors.AsType[*refusal](err)
	if !refused || r.status != 403 && r.status != 404 || r.described() {
		return s, err
	}
	m, known := k.store(ctx)
	rest := strings.TrimPrefix(k.path+"/", m.path)
	isData := strings.HasPrefix(rest, "data/")
	switch {
	case known && m.version != 2 && isData && k.v.cfg.KVVersion != 2:
		return nil, sdk.WithHint(err, fmt.Sprintf("the store at %s has version 1, where paths have no data/: write path %s",
			m.path, strings.TrimSuffix(m.path+strings.TrimPrefix(rest, "data/"), "/")))
	case known && m.version != 2, k.v.cfg.KVVersion == 1, isData:
		return nil, k.explain(ctx, err, m, rest)
	}
	longer := strings.TrimSuffix(m.path+"data/"+rest, "/")
	s, second := k.read(ctx, longer, k.v.cfg.Version)
	if second == nil {
		k.path = longer
		return s, nil
	}
	if r, ok := errors.AsType[*refusal](second); !known && (!ok || !r.described()) {
		return nil, err
	}
	k.path = longer
	return nil, k.explain(ctx, second, m, "data/"+rest)
}

// explain tells a path that holds others from one that is not there, if the token may list it.
func (k *kv) explain(ctx context.Context, err error, m mount, rest string) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.status != 404 || r.described() || sdk.Hint(err) != "" {
		return err
	}
	if m.version == 2 {
		rest = "metadata/" + strings.TrimPrefix(rest, "data/")
	}
	_, listErr := k.v.do(ctx, request{what: "list " + k.path, path: m.path + strings.TrimSuffix(rest, "/"), query: url.Values{"list": {"true"}}})
	if listErr == nil {
		return sdk.WithHint(fmt.Errorf("%w: it is a folder", err), "write in path which secret of that folder holds the key")
	}
	return sdk.WithHint(err, "nothing was ever written there: check path and namespace")
}

// A mount is where a KV store is.
type mount struct {
	path    string // ends in a slash
	version int
}

// store asks Vault which store the path belongs to. Every token may ask that may use something in the store. If there
// is no answer, the first element of the path is the likely one.
func (k *kv) store(ctx context.Context) (m mount, known bool) {
	first, _, _ := strings.Cut(k.path, "/")
	guess := mount{first + "/", 2}
	r := request{what: "find the store of " + k.path, path: "sys/internal/ui/mounts/" + k.path}
	answer, err := k.v.do(ctx, r)
	if err != nil {
		return guess, false
	}
	var a struct {
		Data struct {
			Path    string `json:"path"`
			Options struct {
				Version string `json:"version"`
			} `json:"options"`
		} `json:"data"`
	}
	if k.v.decode(r, answer, &a) != nil || !strings.HasPrefix(k.path+"/", a.Data.Path) {
		return guess, false
	}
	m = mount{path: a.Data.Path, version: 1}
	if a.Data.Options.Version == "2" {
		m.version = 2
	}
	return m, true
}

// read reads a secret; version 0 is the newest.
func (k *kv) read(ctx context.Context, path string, version int) (*secret, error) {
	r := request{what: "read " + path, path: path}
	if version > 0 {
		r.query = url.Values{"version": {strconv.Itoa(version)}}
		r.what = fmt.Sprintf("read version %d of %s", version, path)
	}
	answer, err := k.v.do(ctx, r)
	if err != nil {
		return nil, gone(err)
	}
	defer clear(answer)
	var a struct {
		Data json.RawMessage `json:"data"`
	}
	if err := k.v.decode(r, answer, &a); err != nil {
		return nil, err
	}
	defer clear(a.Data)
	return k.parse(r, path, a.Data)
}

// parse takes what is in a secret, in either version of the store: as Dgraph does, it takes data in data for version 2.
func (k *kv) parse(r request, path string, data []byte) (*secret, error) {
	s := &secret{place: k.v.place, path: path}
	var two struct {
		Data     json.RawMessage `json:"data"`
		Metadata json.RawMessage `json:"metadata"`
	}
	isTwo := json.Unmarshal(data, &two) == nil && object(two.Data) && object(two.Metadata)
	defer clear(two.Data)
	switch {
	case k.v.cfg.KVVersion == 2 && !isTwo:
		return nil, sdk.WithHint(fmt.Errorf("%s: %s: this is no secret of a KV store of version 2: %w", k.v.place, r.what, sdk.ErrInvalid),
			"leave kv_version out: it is found out")
	case k.v.cfg.KVVersion == 1 || !isTwo:
		if k.v.cfg.Version > 0 {
			return nil, fmt.Errorf("%s: %s: the store keeps no versions: %w", k.v.place, r.what, sdk.ErrInvalid)
		}
		return s, k.v.decode(r, data, &s.fields)
	}
	var m struct {
		Version int `json:"version"`
	}
	if err := k.v.decode(r, two.Metadata, &m); err != nil {
		return nil, err
	}
	s.version = strconv.Itoa(m.Version)
	return s, k.v.decode(r, two.Data, &s.fields)
}

func object(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) }

// A description is what version 2 of the store says of a secret that it does not have any longer.
type description struct {
	Version   int    `json:"version"`
	Deleted   string `json:"deletion_time"`
	Destroyed bool   `json:"destroyed"`
}

func (r *refusal) description() (description, bool) {
	var a struct {
		Data struct {
			Metadata *description `json:"metadata"`
		} `json:"data"`
	}
	if r.status != 404 || json.Unmarshal(r.answer, &a) != nil || a.Data.Metadata == nil {
		return description{}, false
	}
	return *a.Data.Metadata, true
}

func (r *refusal) described() bool {
	_, ok := r.description()
	return ok
}

// gone explains a secret that was deleted.
func gone(err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	d, ok := r.description()
	if !ok {
		return err
	}
	r = r.as(sdk.ErrNotExist)
	if d.Destroyed {
		r.text = fmt.Sprintf("version %d was destroyed", d.Version)
		return sdk.WithHint(r, "it cannot be brought back; version names an earlier one, if that is wanted")
	}
	r.text = fmt.Sprintf("version %d was deleted at %.19s", d.Version, d.Deleted)
	return sdk.WithHint(r, fmt.Sprintf("it can be brought back: vault kv undelete -versions=%d PATH", d.Version))
}

// key takes the key out of a secret. Its errors show names and lengths, and no value.
func (s *secret) key(field, format string) ([]byte, error) {
	what := fmt.Sprintf("%s: field %s of %s", s.place, field, s.path)
	raw, ok := s.fields[field]
	if !ok {
		names := slices.Sorted(maps.Keys(s.fields))
		err := fmt.Errorf("%s: there is no such field: %w", what, sdk.ErrNotExist)
		if len(names) == 0 {
			return nil, sdk.WithHint(err, "the secret has no fields at all")
		}
		return nil, sdk.WithHint(err, fmt.Sprintf("the secret has: %.200s; name one in the setting field", strings.Join(names, ", ")))
	}
	var value text
	if json.Unmarshal(raw, &value) != nil || !bytes.HasPrefix(raw, []byte(`"`)) {
		return nil, fmt.Errorf("%s: it is no string: %w", what, sdk.ErrInvalid)
	}
	if format == "raw" {
		return fits(what, value, value)
	}
	defer clear(value)
	key := make([]byte, base64.StdEncoding.DecodedLen(len(value)))
	n, err := base64.StdEncoding.Decode(key, value)
	if err != nil {
		clear(key)
		err = fmt.Errorf("%s has %s, which are not base64: %w", what, count(len(value), "character"), sdk.ErrInvalid)
		if isLength(len(value)) {
			return nil, sdk.WithHint(err, "it looks like the key itself: set format to raw")
		}
		return nil, err
	}
	return fits(what, key[:n], value)
}

func isLength(n int) bool { return n == 16 || n == 24 || n == 32 }

// fits refuses a key of the wrong length, in the words of its likely cause.
func fits(what string, key, value []byte) ([]byte, error) {
	if isLength(len(key)) {
		return key, nil
	}
	defer clear(key)
	err := fmt.Errorf("%s holds a key of %s, want 16, 24 or 32: %w", what, count(len(key), "byte"), sdk.ErrInvalid)
	decoded := base64.StdEncoding.DecodedLen(len(value))
	_, notBase64 := base64.StdEncoding.DecodeString(string(value))
	switch trimmed := bytes.TrimRight(key, "\r\n"); {
	case len(trimmed) < len(key) && isLength(len(trimmed)):
		return nil, sdk.WithHint(err, fmt.Sprintf("it ends in a newline, which an editor or echo has added: write it without, of %d bytes", len(trimmed)))
	case len(key) == 64:
		return nil, sdk.WithHint(err, "Dgraph takes a key of 64 bytes at first, and fails with it at its first backup: use one of 32")
	case len(key) == len(value) && notBase64 == nil && decoded >= 16 && decoded < 36:
		return nil, sdk.WithHint(err, "it looks like base64: set format to base64")
	case isLength(len(value)):
		return nil, sdk.WithHint(err, "it looks like the key itself: set format to raw")
	}
	return nil, err
}
