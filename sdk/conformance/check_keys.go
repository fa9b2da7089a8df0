package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A keyring is the key provider of one check.
type keyring struct {
	*trial
	keys sdk.KeyProvider
	lab  *lab
}

func (k *keyring) wrap(dataKey []byte) sdk.WrappedKey {
	w, err := k.keys.Wrap(k.ctx, dataKey)
	if err != nil {
		k.Fatalf("Wrap of %d bytes: %v", len(dataKey), err)
	}
	return w
}

func (k *keyring) unwrapTo(p sdk.KeyProvider, w sdk.WrappedKey, want []byte) {
	got, err := p.Unwrap(k.ctx, w)
	if err != nil || !bytes.Equal(got, want) {
		k.Errorf("Unwrap of what Wrap made of %d bytes: %d bytes, equal: %v, %v", len(want), len(got), bytes.Equal(got, want), err)
	}
}

// refused wants one of the kinds that say: not with this key.
func (k *keyring) refused(what string, w sdk.WrappedKey, kinds ...error) error {
	got, err := k.keys.Unwrap(k.ctx, w)
	if err == nil {
		k.Errorf("Unwrap of %s: %d bytes, want %v", what, len(got), kinds)
		return nil
	}
	if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
		k.Errorf("Unwrap of %s: %v, want one of the kinds %v", what, err, kinds)
	}
	return err
}

func wrapRoundTrip(k *keyring) {
	id := ""
	for _, size := range []int{16, 24, 32} {
		w := k.wrap(pattern(size))
		if w.KeyID == "" || id != "" && w.KeyID != id {
			k.Errorf("key id %q after %q, want the same one always", w.KeyID, id)
		}
		id = w.KeyID
		k.unwrapTo(k.keys, w, pattern(size))
	}
}

func wrapHides(k *keyring) {
	for _, size := range []int{16, 24, 32} {
		key := pattern(size)
		w := k.wrap(key)
		for _, secret := range append([][]byte{key}, k.exported()...) {
			for _, form := range formsOf(secret) {
				if strings.Contains(string(w.Ciphertext), form) || strings.Contains(w.KeyID, form) {
					k.Errorf("a wrapped key shows a key")
				}
			}
		}
	}
}

func unwrapTampered(k *keyring) {
	w := k.wrap(pattern(32))
	for i := range w.Ciphertext {
		c := slices.Clone(w.Ciphertext)
		c[i] ^= 1 << (i % 8)
		k.refused(fmt.Sprintf("a wrapped key with a flipped bit in byte %d", i), sdk.WrappedKey{KeyID: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: c}, sdk.ErrWrongKey, sdk.ErrCorrupt)
	}
	for n := range w.Ciphertext {
		k.refused(fmt.Sprintf("the first %d bytes of a wrapped key", n), sdk.WrappedKey{KeyID: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext[:n]}, sdk.ErrWrongKey, sdk.ErrCorrupt)
	}
	long := append(slices.Clone(w.Ciphertext), 0)
	k.refused("a wrapped key and one byte more", sdk.WrappedKey{KeyID: w.KeyID, KeyVersion: w.KeyVersion, Ciphertext: long}, sdk.ErrWrongKey, sdk.ErrCorrupt)
	k.unwrapTo(k.keys, w, pattern(32))
}

func unwrapOther(k *keyring) {
	v := k.lab.Other
	if v == nil {
		k.Skipf("the test gives no other key: see Other")
	}
	other, err := k.lab.own(k.trial, v.Env...).OpenKeyProvider(k.ctx, v.Settings)
	if err != nil {
		k.Fatalf("open with another key: %v", err)
	}
	w, err := other.Wrap(k.ctx, pattern(32))
	if err != nil {
		k.Fatalf("Wrap with another key: %v", err)
	}
	if own := k.wrap(pattern(32)); own.KeyID == w.KeyID {
		k.Errorf("two keys have the id %q", w.KeyID)
	}
	k.refused("what another key wrapped", w, sdk.ErrWrongKey)
	k.refused("what another key wrapped, under the own key's id",
		sdk.WrappedKey{KeyID: k.wrap(pattern(32)).KeyID, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext}, sdk.ErrWrongKey, sdk.ErrCorrupt)
	k.unwrapTo(other, w, pattern(32))
}

func unwrapElsewhere(k *keyring) {
	w := k.wrap(pattern(32))
	p, err := k.lab.own(k.trial).OpenKeyProvider(k.ctx, k.lab.Settings)
	if err != nil {
		k.Fatalf("open in a second process: %v", err)
	}
	k.unwrapTo(p, w, pattern(32))
}

func wrapConcurrent(k *keyring) {
	racers(func(i int) {
		key := pattern(32)
		key[0] = byte(i)
		w, err := k.keys.Wrap(k.ctx, key)
		if err != nil {
			k.Errorf("Wrap: %v", err)
			return
		}
		k.unwrapTo(k.keys, w, key)
	})
}

func wrapCancelled(k *keyring) {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	k.within(prompt, "Wrap with a context that has ended", func() {
		if _, err := k.keys.Wrap(ctx, pattern(32)); !errors.Is(err, context.Canceled) {
			k.Errorf("Wrap with a context that has ended: %v", err)
		}
	})
}

func exportSize(k *keyring) {
	e, ok := k.keys.(sdk.KeyExporter)
	if !ok {
		k.Skipf("the plugin is no KeyExporter")
	}
	first, err := e.ExportKey(k.ctx)
	if err != nil {
		k.Fatalf("ExportKey: %v", err)
	}
	if n := len(first.Reveal()); n != 16 && n != 24 && n != 32 {
		k.Errorf("ExportKey: %d bytes, want 16, 24 or 32", n)
	}
	again, err := e.ExportKey(k.ctx)
	if err != nil || !bytes.Equal(first.Reveal(), again.Reveal()) {
		k.Errorf("a second ExportKey gives another key, %v", err)
	}
}

// keysHidden makes the plugin fail in every way, and looks for keys in what it
// says until its end. It speaks to the plugin itself: a host would mask them.
func keysHidden(k *keyring) {
	process := k.lab.own(k.trial)
	w := tap(k.trial, process)
	if err := w.open(k.lab.Settings); err != nil {
		k.Fatalf("open: %v", err)
	}
	var said strings.Builder
	saying := func(err error) {
		if remote, ok := errors.AsType[*code.Remote](code.Error(err)); ok {
			fmt.Fprintln(&said, remote.Text, remote.Tip)
		}
	}
	key := pattern(32)
	good, err := w.keys.Wrap(k.ctx, &pluginpb.WrapRequest{Instance: w.instance, DataKey: key})
	if err != nil {
		k.Fatalf("Wrap: %v", code.Error(err))
	}
	for _, bad := range []sdk.WrappedKey{
		{KeyID: good.GetKeyId(), Ciphertext: good.GetCiphertext()},
		{KeyID: good.GetKeyId(), Ciphertext: nil},
		{KeyID: good.GetKeyId(), Ciphertext: good.GetCiphertext()[1:]},
		{KeyID: good.GetKeyId() + "x", Ciphertext: good.GetCiphertext()},
		{KeyID: "", Ciphertext: key},
	} {
		_, err := w.keys.Unwrap(k.ctx, &pluginpb.UnwrapRequest{Instance: w.instance, KeyId: bad.KeyID, Ciphertext: bad.Ciphertext})
		saying(err)
	}
	for _, odd := range [][]byte{nil, key[:7], bytes.Repeat(key, 1000)} {
		_, err := w.keys.Wrap(k.ctx, &pluginpb.WrapRequest{Instance: w.instance, DataKey: odd})
		saying(err)
	}
	secrets := append([][]byte{key}, k.exported()...)
	_, _ = w.keys.ExportKey(k.ctx, &pluginpb.ExportKeyRequest{Instance: w.instance})
	_ = process.Close() // now it has said all
	for _, secret := range secrets {
		k.lab.hunt(k.trial, said.String(), "a key", secret)
	}
}

// exported returns the provider's own key, if it can be had.
func (k *keyring) exported() [][]byte {
	if e, ok := k.keys.(sdk.KeyExporter); ok {
		if s, err := e.ExportKey(k.ctx); err == nil {
			return [][]byte{s.Reveal()}
		}
	}
	return nil
}

// wrapOddSizes wraps what is no key for AES. The provider may refuse it, and may
// not lose any of it.
func wrapOddSizes(k *keyring) {
	for _, size := range []int{0, 1, 15, 17, 31, 33, 64, 1000} {
		data := pattern(size)
		w, err := k.keys.Wrap(k.ctx, data)
		if err != nil {
			k.wantErr(fmt.Sprintf("Wrap of %d bytes", size), err, sdk.ErrInvalid)
			continue
		}
		k.unwrapTo(k.keys, w, data)
	}
}

// unwrapOtherID asks for a key that the provider does not have.
func unwrapOtherID(k *keyring) {
	w := k.wrap(pattern(32))
	for _, id := range []string{w.KeyID + "x", w.KeyID[:len(w.KeyID)-1], "", "kit/another-key"} {
		k.refused(fmt.Sprintf("a wrapped key under the id %q", id), sdk.WrappedKey{KeyID: id, KeyVersion: w.KeyVersion, Ciphertext: w.Ciphertext},
			sdk.ErrWrongKey, sdk.ErrInvalid)
	}
	k.unwrapTo(k.keys, w, pattern(32))
}

// keysSeparate closes one of two instances that are open in one process.
func keysSeparate(k *keyring) {
	w := k.wrap(pattern(32))
	other, err := k.lab.shared(k.trial).OpenKeyProvider(k.ctx, k.lab.Settings)
	if err != nil {
		k.Fatalf("open: %v", err)
	}
	for range 2 {
		closeValue(k.trial, other)
	}
	k.unwrapTo(k.keys, w, pattern(32))
}

// rotator returns what the plugin can do with versions of its key, and which key
// wraps now.
func (k *keyring) rotator() (sdk.KeyRotator, sdk.KeyStatus) {
	r, ok := k.keys.(sdk.KeyRotator)
	if !ok {
		k.Skipf("the plugin is no KeyRotator")
	}
	now, err := r.KeyStatus(k.ctx)
	if err != nil {
		k.Fatalf("KeyStatus: %v", err)
	}
	if w := k.wrap(pattern(32)); w.KeyID != now.KeyID || w.KeyVersion != now.KeyVersion {
		k.Errorf("KeyStatus names key %q version %q, and Wrap %q version %q", now.KeyID, now.KeyVersion, w.KeyID, w.KeyVersion)
	}
	return r, now
}

func (k *keyring) current(what string, w sdk.WrappedKey, now sdk.KeyStatus) {
	if w.KeyID != now.KeyID || w.KeyVersion != now.KeyVersion {
		k.Errorf("%s: wrapped by key %q version %q, and %q version %q wraps now", what, w.KeyID, w.KeyVersion, now.KeyID, now.KeyVersion)
	}
}

func generated(k *keyring) {
	r, now := k.rotator()
	var last []byte
	for range 2 {
		secret, w, err := r.GenerateDataKey(k.ctx)
		if err != nil {
			k.Fatalf("GenerateDataKey: %v", err)
		}
		key := secret.Reveal()
		if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
			k.Errorf("GenerateDataKey: %d bytes, all zero: %v; want 32", len(key), bytes.Equal(key, make([]byte, len(key))))
		}
		if bytes.Equal(key, last) {
			k.Errorf("GenerateDataKey gives one key twice")
		}
		last = key
		k.current("GenerateDataKey", w, now)
		k.unwrapTo(k.keys, w, key)
	}
}

func rewraps(k *keyring) {
	r, now := k.rotator()
	w := k.wrap(pattern(32))
	again, err := r.Rewrap(k.ctx, w)
	if err != nil {
		k.Fatalf("Rewrap: %v", err)
	}
	k.current("Rewrap", again, now)
	k.unwrapTo(k.keys, again, pattern(32))
	k.unwrapTo(k.keys, w, pattern(32))
	bad := w
	bad.Ciphertext = slices.Clone(w.Ciphertext)
	bad.Ciphertext[len(bad.Ciphertext)-1] ^= 1
	if _, err := r.Rewrap(k.ctx, bad); !errors.Is(err, sdk.ErrWrongKey) && !errors.Is(err, sdk.ErrCorrupt) {
		k.Errorf("Rewrap of what was tampered with: %v, want ErrWrongKey or ErrCorrupt", err)
	}
}
