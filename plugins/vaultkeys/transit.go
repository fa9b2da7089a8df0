package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/brock-backup/brock/sdk"
)

// A transit has its key in Vault's transit engine, which never gives it away.
type transit struct {
	v      *vault
	id     string // the path of the engine, and the name of the key
	mount  string
	name   string
	closed atomic.Bool
}

var _ provider = (*transit)(nil)

// openTransit logs in, and looks at the key if the token may: encrypt would make a key that is not there.
func openTransit(ctx context.Context, v *vault) (*transit, error) {
	t := &transit{v: v, id: v.cfg.TransitMount + "/" + v.cfg.TransitKey, mount: v.cfg.TransitMount, name: v.cfg.TransitKey}
	k, err := t.key(ctx)
	r, refused := errors.AsType[*refusal](err)
	switch {
	case refused && r.status == 403 && !r.login:
		return t, nil // nor may it look
	case err != nil:
		return nil, err
	case !k.Encrypts:
		return nil, sdk.WithHint(fmt.Errorf("%s: key %s is of type %s, which does not encrypt: %w", v.place, t.id, k.Type, sdk.ErrInvalid),
			"make another: vault write -f "+t.path("keys")+"2")
	case k.Derived:
		return nil, sdk.WithHint(fmt.Errorf("%s: key %s is made for derivation, and wraps nothing without a context: %w", v.place, t.id, sdk.ErrInvalid),
			"make another, without derived=true: vault write -f "+t.path("keys")+"2")
	}
	return t, nil
}

func (t *transit) path(verb string) string { return t.mount + "/" + verb + "/" + t.name }

// A transitKey is what Vault says of a key.
type transitKey struct {
	Type         string `json:"type"`
	Latest       int    `json:"latest_version"`
	MinDecrypt   int    `json:"min_decryption_version"`
	MinEncrypt   int    `json:"min_encryption_version"` // 0: the latest
	MinAvailable int    `json:"min_available_version"`  // 0: all
	Encrypts     bool   `json:"supports_encryption"`
	Derived      bool   `json:"derived"`
}

func (t *transit) key(ctx context.Context) (k transitKey, err error) {
	r := request{what: "look at key " + t.id, path: t.path("keys")}
	answer, err := t.v.do(ctx, r)
	if rf, ok := errors.AsType[*refusal](err); ok && rf.status == 404 && sdk.Hint(err) == "" {
		return k, t.absent(rf)
	}
	if err != nil {
		return k, err
	}
	var a struct {
		Data *transitKey `json:"data"`
	}
	a.Data = &k
	return k, t.v.decode(r, answer, &a)
}

func (t *transit) absent(r *refusal) error {
	r = r.as(sdk.ErrNotExist)
	r.text = "there is no such key, or no longer"
	return sdk.WithHint(r, "check transit_key and transit_mount; a new key is made with: vault write -f "+t.path("keys")+
		"; a deleted one comes back only from a backup of Vault's")
}

// A result is what the engine answers.
type result struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  text   `json:"plaintext"` // base64
	} `json:"data"`
}

// ask sends one value to the engine.
func (t *transit) ask(ctx context.Context, verb, what string, body map[string]string, hide []byte) (res result, err error) {
	if t.closed.Load() {
		return res, fmt.Errorf("%s: %w", t.v.place, fs.ErrClosed)
	}
	r := put(what+" "+t.id, t.path(verb), body)
	r.hide = hide
	defer clear(r.body)
	answer, err := t.v.do(ctx, r)
	if err != nil {
		return res, err
	}
	defer clear(answer)
	return res, t.v.decode(r, answer, &res)
}

// Wrap implements sdk.KeyProvider.
func (t *transit) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	if err := checkDataKey(dataKey); err != nil {
		return sdk.WrappedKey{}, err
	}
	res, err := t.askPlain(ctx, dataKey)
	if err != nil {
		return sdk.WrappedKey{}, t.explain(ctx, err, 0)
	}
	return t.wrapped(res)
}

// askPlain sends a data key in bytes that are cleared afterwards: a body from a map would be made of strings.
func (t *transit) askPlain(ctx context.Context, dataKey []byte) (res result, err error) {
	if t.closed.Load() {
		return res, fmt.Errorf("%s: %w", t.v.place, fs.ErrClosed)
	}
	const head, tail = `{"plaintext":"`, `"}`
	body := make([]byte, 0, len(head)+base64.StdEncoding.EncodedLen(len(dataKey))+len(tail))
	body = append(body, head...)
	body = base64.StdEncoding.AppendEncode(body, dataKey)
	body = append(body, tail...)
	defer clear(body)
	r := request{what: "encrypt with " + t.id, path: t.path("encrypt"), body: body, hide: dataKey}
	answer, err := t.v.do(ctx, r)
	if err != nil {
		return res, err
	}
	return res, t.v.decode(r, answer, &res)
}

// Unwrap implements sdk.KeyProvider.
func (t *transit) Unwrap(ctx context.Context, w sdk.WrappedKey) ([]byte, error) {
	version, err := t.readable(w)
	if err != nil {
		return nil, err
	}
	res, err := t.ask(ctx, "decrypt", "decrypt with", map[string]string{"ciphertext": string(w.Ciphertext)}, nil)
	if err != nil {
		return nil, t.explain(ctx, err, version)
	}
	return t.plain(res)
}

// GenerateDataKey implements sdk.KeyRotator.
func (t *transit) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	res, err := t.ask(ctx, "datakey/plaintext", "make a data key with", map[string]string{"bits": "256"}, nil)
	if err != nil {
		return sdk.Secret{}, sdk.WrappedKey{}, t.explain(ctx, err, 0)
	}
	w, err := t.wrapped(res)
	if err != nil {
		clear(res.Data.Plaintext)
		return sdk.Secret{}, w, err
	}
	dataKey, err := t.plain(res)
	if err != nil {
		return sdk.Secret{}, sdk.WrappedKey{}, err
	}
	defer clear(dataKey)
	if len(dataKey) != 32 {
		return sdk.Secret{}, sdk.WrappedKey{}, fmt.Errorf("%s: a data key of %s instead of 32", t.v.place, count(len(dataKey), "byte"))
	}
	return sdk.NewSecret(dataKey), w, nil
}

// RotateKey implements sdk.KeyRotator. An answer that is lost on the way may make two versions of one.
func (t *transit) RotateKey(ctx context.Context) (sdk.KeyStatus, error) {
	if t.closed.Load() {
		return sdk.KeyStatus{}, fmt.Errorf("%s: %w", t.v.place, fs.ErrClosed)
	}
	if _, err := t.v.do(ctx, put("rotate key "+t.id, t.path("keys")+"/rotate", map[string]string{})); err != nil {
		return sdk.KeyStatus{}, t.explain(ctx, err, 0)
	}
	return t.KeyStatus(ctx)
}

// Rewrap implements sdk.KeyRotator.
func (t *transit) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	version, err := t.readable(w)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	res, err := t.ask(ctx, "rewrap", "rewrap with", map[string]string{"ciphertext": string(w.Ciphertext)}, nil)
	if err != nil {
		return sdk.WrappedKey{}, t.explain(ctx, err, version)
	}
	return t.wrapped(res)
}

// KeyStatus implements sdk.KeyRotator.
func (t *transit) KeyStatus(ctx context.Context) (sdk.KeyStatus, error) {
	if t.closed.Load() {
		return sdk.KeyStatus{}, fmt.Errorf("%s: %w", t.v.place, fs.ErrClosed)
	}
	k, err := t.key(ctx)
	if err != nil {
		return sdk.KeyStatus{}, err
	}
	detail := fmt.Sprintf("%s, version %d, decrypts what was wrapped by version %d and later", k.Type, k.Latest, k.MinDecrypt)
	if k.MinAvailable > 1 {
		detail += fmt.Sprintf(", versions before %d are destroyed", k.MinAvailable)
	}
	return sdk.KeyStatus{KeyID: t.id, KeyVersion: strconv.Itoa(k.Latest), Detail: detail}, nil
}

// Close implements io.Closer.
func (t *transit) Close() error {
	if !t.closed.Swap(true) {
		t.v.close(context.Background())
	}
	return nil
}

// sealed is how the engine writes what it has encrypted: with the version of the key, and base64.
var sealed = regexp.MustCompile(`^vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})$`)

// readable refuses what this key has certainly not wrapped, and returns the version that has.
func (t *transit) readable(w sdk.WrappedKey) (version int, err error) {
	if w.KeyID != t.id {
		return 0, fmt.Errorf("%s: the data key was wrapped by %.100q, and this is key %q: %w", t.v.place, w.KeyID, t.id, sdk.ErrWrongKey)
	}
	version, ok := parseSealed(w.Ciphertext)
	if !ok {
		return 0, fmt.Errorf("wrapped key of %s is not as key %s writes it: %w", count(len(w.Ciphertext), "byte"), t.id, sdk.ErrCorrupt)
	}
	return version, nil
}

func parseSealed(ciphertext []byte) (version int, ok bool) {
	m := sealed.FindSubmatch(ciphertext)
	if m == nil || len(ciphertext) > 64<<10 {
		return 0, false
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(string(m[2])); err != nil {
		return 0, false
	}
	version, err := strconv.Atoi(string(m[1]))
	return version, err == nil
}

func (t *transit) wrapped(res result) (sdk.WrappedKey, error) {
	version, ok := parseSealed([]byte(res.Data.Ciphertext))
	if !ok {
		return sdk.WrappedKey{}, fmt.Errorf("%s: key %s wraps in a form that is not known here: %w", t.v.place, t.id, sdk.ErrUnsupported)
	}
	return sdk.WrappedKey{KeyID: t.id, KeyVersion: strconv.Itoa(version), Ciphertext: []byte(res.Data.Ciphertext)}, nil
}

// plain takes the data key out of an answer, which is cleared.
func (t *transit) plain(res result) ([]byte, error) {
	defer clear(res.Data.Plaintext)
	dataKey := make([]byte, base64.StdEncoding.DecodedLen(len(res.Data.Plaintext)))
	n, err := base64.StdEncoding.Decode(dataKey, res.Data.Plaintext)
	if err != nil || n == 0 {
		clear(dataKey)
		return nil, fmt.Errorf("%s: key %s: the answer holds no data key: %w", t.v.place, t.id, sdk.ErrCorrupt)
	}
	return dataKey[:n], nil
}

// explain gives the engine's errors the kind and the words that they lack. It is 400 for all of them. The version is
// that which wrapped the data key, if one was to be read.
func (t *transit) explain(ctx context.Context, err error, version int) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.status != 400 {
		return err
	}
	says := func(part string) bool { return strings.Contains(r.text, part) }
	switch {
	case says("encryption key not found"):
		return t.absent(r)
	case says("(too old)"):
		return t.tooOld(ctx, r, version)
	case says("version is too new"):
		return sdk.WithHint(t.wrong(r, fmt.Sprintf("the data key was wrapped by version %d, which key %s does not have", version, t.id)),
			"a key of the same name has been made anew, or this is another Vault: check addr and namespace")
	case says("message authentication failed"), says("ciphertext"):
		return sdk.WithHint(t.wrong(r, fmt.Sprintf("version %d of key %s did not wrap this data key, or it is damaged (%s)", version, t.id, r.text)),
			"a key of the same name has been made anew, or this is another Vault: check addr and namespace")
	}
	return err
}

func (t *transit) wrong(r *refusal, text string) *refusal {
	r = r.as(sdk.ErrWrongKey)
	r.text = text
	return r
}

// tooOld explains a version that does not decrypt any longer. It may be forbidden, or destroyed.
func (t *transit) tooOld(ctx context.Context, r *refusal, version int) error {
	text := fmt.Sprintf("the data key was wrapped by version %d of key %s, which Vault does not decrypt with any longer", version, t.id)
	hint := fmt.Sprintf("allow it again: vault write %s/config min_decryption_version=%d; then rewrap, before it is forbidden anew", t.path("keys"), version)
	k, err := t.key(ctx)
	if err == nil && version < k.MinAvailable {
		text = fmt.Sprintf("the data key was wrapped by version %d of key %s, which was destroyed: the oldest that is left is %d", version, t.id, k.MinAvailable)
		hint = "only a copy of the key that was made before, with vault's transit backup, reads this backup"
	} else if err == nil {
		text += fmt.Sprintf(": min_decryption_version is %d", k.MinDecrypt)
	}
	return sdk.WithHint(t.wrong(r, text), hint)
}
