package host

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/brock-backup/brock/host/backupfile"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
)

// There are two ways to get the key that the files of a series are encrypted with.
//
// A provider that hands out its key (a key file, a value in Vault) gives Dgraph's own
// scheme: that very key, for every series.
//
// Of a provider that only wraps, each series has a data key of its own. What is wrapped
// is a secret of 32 bytes, and the data key is derived from it (HKDF-SHA256) for this
// series and this kind of data: see manifest.Binding. It is wrapped once, and the wrapped key is in
// each of the series' commit records and, once it was wrapped again, in a key record.

// secretSize is the size of a wrapped secret, and of a data key derived from one,
// in bytes.
const secretSize = 32

// rawKey asks the provider for its own key.
func (e *Engine) rawKey(ctx context.Context, k *Key) ([]byte, error) {
	exporter, ok := k.Provider.(sdk.KeyExporter)
	if !ok {
		return nil, usage("give the key itself, as a key file say, or begin a new series with --force-full",
			"the files are encrypted with the key of a provider itself, and key provider %s does not hand out its key", k.Name)
	}
	secret, err := exporter.ExportKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("key provider %s: %w", k.Name, err)
	}
	key := secret.Reveal()
	switch len(key) {
	case 16, 32:
	case 24:
		e.log().Warn("only Dgraph 20.x accepts keys of 24 bytes; use 16 or 32 for later ones")
	default:
		clear(key)
		return nil, usage("use a key of 16, 24 or 32 bytes", "key provider %s gave a key of %d bytes", k.Name, len(key))
	}
	return key, nil
}

// given reports whether a key was named.
func (k *Key) given() bool { return k != nil && k.Provider != nil }

// exports reports whether the provider hands out its key.
func (k *Key) exports() bool {
	_, ok := k.Provider.(sdk.KeyExporter)
	return ok
}

// newDataKey returns the key for a new series, wrapped if the provider only wraps.
func (e *Engine) newDataKey(ctx context.Context, k *Key, m *manifest.Manifest) ([]byte, *manifest.WrappedKey, error) {
	if k.exports() {
		key, err := e.rawKey(ctx, k)
		return key, nil, err
	}
	secret, wrapped, err := k.generate(ctx)
	defer clear(secret)
	if err == nil {
		err = checkSecret(secret)
	}
	if err == nil && len(wrapped.Ciphertext) == 0 {
		err = errors.New("it gave no wrapped key")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("key provider %s: %w", k.Name, err)
	}
	key, w := derive(secret, wrapped, m)
	return key, w, nil
}

// generate has the provider make a secret, or makes it.
func (k *Key) generate(ctx context.Context) ([]byte, sdk.WrappedKey, error) {
	if r, ok := k.Provider.(sdk.KeyRotator); ok {
		secret, wrapped, err := r.GenerateDataKey(ctx)
		return secret.Reveal(), wrapped, err
	}
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // it never fails
	wrapped, err := k.Provider.Wrap(ctx, secret)
	return secret, wrapped, err
}

func checkSecret(secret []byte) error {
	if len(secret) != secretSize {
		return fmt.Errorf("it gave a data key of %d bytes, want %d: %w", len(secret), secretSize, sdk.ErrInvalid)
	}
	return nil
}

// derive makes the data key of m's series.
func derive(secret []byte, w sdk.WrappedKey, m *manifest.Manifest) ([]byte, *manifest.WrappedKey) {
	bound, digest := manifest.Binding(m.Series, m.Kind)
	key, err := hkdf.Key(sha256.New, secret, nil, bound, secretSize)
	if err != nil {
		panic(err) // for lengths alone
	}
	return key, &manifest.WrappedKey{KeyID: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext, AAD: digest}
}

// wrappings returns the wrapped keys of a series, those that were wrapped last first. It
// has none if the files are encrypted with a provider's own key. A key record of a data
// key that no commit record of the series names is none of it: it was left behind by an
// earlier series of that name.
func (c *catalogue) wrappings(series string) []manifest.KeyRecord {
	var all []manifest.KeyRecord
	for _, n := range slices.Backward(sorted(c.keys[series])) {
		if k := c.keys[series][n]; c.names(series, k.KeyCheck) {
			all = append(all, *k)
		}
	}
	for i := range slices.Backward(c.all) {
		m := &c.all[i]
		if m.Series != series || m.Record == nil || m.Record.Wrapped == nil {
			continue
		}
		k := manifest.KeyRecord{
			Series: series, Created: m.Record.Created, Provider: m.Record.KeyProvider, KeyCheck: m.Record.KeyCheck, Wrapped: *m.Record.Wrapped,
		}
		same := func(o manifest.KeyRecord) bool { return string(o.Wrapped.Ciphertext) == string(k.Wrapped.Ciphertext) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, k)
		}
	}
	return all
}

// names reports whether a commit record of the series names a data key, or none does.
func (c *catalogue) names(series, keyCheck string) bool {
	none := true
	for i := range c.all {
		if m := &c.all[i]; m.Series == series && m.Record != nil && m.Record.KeyCheck != "" {
			if m.Record.KeyCheck == keyCheck {
				return true
			}
			none = false
		}
	}
	return none
}

// unwrap returns the data key of m's series, and how it is wrapped. A key that is
// bound to anything else, and one that another key wrapped, is refused.
func (e *Engine) unwrap(ctx context.Context, k *Key, m *manifest.Manifest, all []manifest.KeyRecord) ([]byte, *manifest.WrappedKey, error) {
	_, digest := manifest.Binding(m.Series, m.Kind)
	var wrong error
	for i := range all {
		r := &all[i]
		if r.Wrapped.AAD != digest {
			return nil, nil, damaged("bring the commit record back from another copy",
				"series %s: its wrapped key is bound to another series, or to data of another kind", m.Series)
		}
		secret, err := k.Provider.Unwrap(ctx, sdk.WrappedKey{KeyID: r.Wrapped.KeyID, KeyVersion: r.Wrapped.KeyVersion, Ciphertext: r.Wrapped.Ciphertext})
		if errors.Is(err, sdk.ErrWrongKey) || errors.Is(err, sdk.ErrUnsupported) {
			if wrong == nil {
				wrong = err
			}
			continue
		}
		if err == nil {
			err = checkSecret(secret)
		}
		if err != nil {
			clear(secret)
			return nil, nil, fmt.Errorf("key provider %s: data key of series %s: %w", k.Name, m.Series, err)
		}
		key, wrapped := derive(secret, sdk.WrappedKey{KeyID: r.Wrapped.KeyID, KeyVersion: r.Wrapped.KeyVersion, Ciphertext: r.Wrapped.Ciphertext}, m)
		clear(secret)
		if check := backupfile.KeyCheck(key); check != r.KeyCheck {
			clear(key)
			return nil, nil, damaged("bring the commit record back from another copy",
				"series %s: its wrapped key opens, and is not the key of the series: %s instead of %s", m.Series, check, r.KeyCheck)
		}
		return key, wrapped, nil
	}
	return nil, nil, &failure{
		fmt.Errorf("the data key of series %s was wrapped by %s, and key provider %s has %s: %w",
			m.Series, keyName(all[0].Wrapped.KeyID, all[0].Wrapped.KeyVersion), k.Name, k.atHand(ctx), wrong),
		ErrUsage, "give the key provider that has this key",
	}
}

// atHand names the key that the provider wraps with.
func (k *Key) atHand(ctx context.Context) string {
	if r, ok := k.Provider.(sdk.KeyRotator); ok {
		if st, err := r.KeyStatus(ctx); err == nil {
			return keyName(st.KeyID, st.KeyVersion)
		}
	}
	if w, err := k.Provider.Wrap(ctx, make([]byte, secretSize)); err == nil {
		return keyName(w.KeyID, w.KeyVersion)
	}
	return "a key that does not tell its name"
}

func keyName(id, version string) string {
	if version == "" {
		return id
	}
	return id + " version " + version
}

// keyFor returns the data key for reading a chain: nil for a plain one.
func (e *Engine) keyFor(ctx context.Context, k *Key, c *catalogue, chain []manifest.Manifest) ([]byte, error) {
	last := &chain[len(chain)-1]
	if !last.Encrypted {
		return nil, nil
	}
	wrapped := c.wrappings(last.Series)
	if !k.given() {
		hint := "give its key with --encryption_key_file"
		switch {
		case len(wrapped) > 0:
			hint = fmt.Sprintf("name the provider that wrapped its key: --key-provider %s --key-settings FILE", wrapped[0].Provider)
		case last.Record != nil && last.Record.KeyProvider != "" && last.Record.KeyProvider != "keyfile":
			hint = fmt.Sprintf("name the provider that has its key: --key-provider %s --key-settings FILE, or --vault", last.Record.KeyProvider)
		}
		return nil, usage(hint, "backup %s is encrypted and no key was given", last.ID())
	}
	key, err := e.openKey(ctx, k, last, wrapped)
	if err != nil {
		return nil, err
	}
	for i := range chain {
		if err := sameKey(&chain[i], key); err != nil {
			clear(key)
			return nil, err
		}
	}
	return key, nil
}

// openKey returns the key of m's series: unwrapped, or that of the provider itself. A
// data key that was exported will do as well.
func (e *Engine) openKey(ctx context.Context, k *Key, m *manifest.Manifest, wrapped []manifest.KeyRecord) ([]byte, error) {
	if len(wrapped) == 0 {
		return e.rawKey(ctx, k)
	}
	if k.exports() {
		if key, err := e.rawKey(ctx, k); err == nil {
			if backupfile.KeyCheck(key) == wrapped[0].KeyCheck {
				return key, nil
			}
			clear(key)
		}
	}
	key, _, err := e.unwrap(ctx, k, m, wrapped)
	return key, err
}

// sameKey refuses a key that m's commit record does not name. Backups made by
// Dgraph name none.
func sameKey(m *manifest.Manifest, key []byte) error {
	if m.Record == nil || m.Record.KeyCheck == "" || key == nil {
		return nil
	}
	if check := backupfile.KeyCheck(key); check != m.Record.KeyCheck {
		return &failure{
			fmt.Errorf("backup %s was encrypted with key %s, and the key at hand is %s: %w", m.ID(), m.Record.KeyCheck, check, sdk.ErrWrongKey),
			ErrUsage, wrongKeyHint,
		}
	}
	return nil
}

// wrongKey explains that a file of m does not decode with the key. A plain
// backup has none: its file is damaged.
func wrongKey(m *manifest.Manifest, err error) error {
	switch {
	case !errors.Is(err, backupfile.ErrWrongKey):
		return err
	case !m.Encrypted:
		return damaged("", "%v: the manifest says that it is not encrypted", err)
	}
	return &failure{err, ErrUsage, wrongKeyHint}
}

const wrongKeyHint = "give the key that this series was encrypted with; of a key in Vault that was written anew, the setting version names the older one"
