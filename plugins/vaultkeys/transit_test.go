//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

func TestTransitRotation(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	cfg := l.withTransit(l.config(), mount, key)
	cfg.Token = sdk.NewSecret(l.token(l.policy(append(leastTransit(mount, key), mount+"/keys/brock/rotate: update")...)))
	p := mustOpen(t, cfg)
	if _, ok := p.(sdk.KeyExporter); ok {
		t.Error("a transit key is handed out")
	}

	made, one, err := p.GenerateDataKey(t.Context())
	if err != nil || len(made.Reveal()) != 32 || one.KeyID != mount+"/brock" || one.KeyVersion != "1" {
		t.Fatalf("GenerateDataKey: %d bytes, by %s version %s, %v", len(made.Reveal()), one.KeyID, one.KeyVersion, err)
	}
	other, _, err := p.GenerateDataKey(t.Context())
	if err != nil || bytes.Equal(other.Reveal(), made.Reveal()) {
		t.Fatalf("a second data key is the first, %v", err)
	}
	unwrapsTo := func(w sdk.WrappedKey) {
		t.Helper()
		if got, err := p.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, made.Reveal()) {
			t.Errorf("Unwrap of version %s: equal %v, %v", w.KeyVersion, bytes.Equal(got, made.Reveal()), err)
		}
	}
	unwrapsTo(one)

	for _, want := range []string{"2", "3"} {
		st, err := p.RotateKey(t.Context())
		if err != nil || st.KeyID != one.KeyID || st.KeyVersion != want {
			t.Fatalf("RotateKey = %+v, %v; want version %s", st, err, want)
		}
	}
	unwrapsTo(one)
	if w := roundTrip(t, p); w.KeyVersion != "3" {
		t.Errorf("wrapped by version %s after two rotations", w.KeyVersion)
	}
	three, err := p.Rewrap(t.Context(), one)
	if err != nil || three.KeyVersion != "3" || three.KeyID != one.KeyID {
		t.Fatalf("Rewrap: by %s version %s, %v", three.KeyID, three.KeyVersion, err)
	}
	unwrapsTo(three)

	l.put(mount+"/keys/brock/config", map[string]any{"min_decryption_version": 2, "min_encryption_version": 3})
	st, err := p.KeyStatus(t.Context())
	if err != nil || st.KeyVersion != "3" || !strings.Contains(st.Detail, "version 3, decrypts what was wrapped by version 2 and later") {
		t.Errorf("KeyStatus = %+v, %v", st, err)
	}
	_, err = p.Unwrap(t.Context(), one)
	refused(t, "forbidden version", err, sdk.ErrWrongKey, "wrapped by version 1 of key "+one.KeyID+", which Vault does not decrypt with any longer: min_decryption_version is 2",
		"vault write "+mount+"/keys/brock/config min_decryption_version=1")
	_, err = p.Rewrap(t.Context(), one)
	refused(t, "forbidden version", err, sdk.ErrWrongKey, "min_decryption_version is 2", "min_decryption_version=1")
	l.put(mount+"/keys/brock/config", map[string]any{"min_decryption_version": 1}) // as the hint says
	unwrapsTo(one)

	l.put(mount+"/keys/brock/config", map[string]any{"min_decryption_version": 3})
	l.put(mount+"/keys/brock/trim", map[string]any{"min_available_version": 3})
	_, err = p.Unwrap(t.Context(), one)
	refused(t, "destroyed version", err, sdk.ErrWrongKey, "version 1 of key "+one.KeyID+", which was destroyed: the oldest that is left is 3", "transit backup")
	unwrapsTo(three)
	if st, err := p.KeyStatus(t.Context()); err != nil || !strings.Contains(st.Detail, "versions before 3 are destroyed") {
		t.Errorf("KeyStatus = %+v, %v", st, err)
	}

	l.put(mount+"/keys/brock/config", map[string]any{"deletion_allowed": true})
	l.delete(mount + "/keys/brock")
	_, err = p.Unwrap(t.Context(), three)
	refused(t, "deleted key", err, sdk.ErrNotExist, "there is no such key, or no longer", "vault write -f "+mount+"/keys/brock")
	_, err = p.KeyStatus(t.Context())
	refused(t, "deleted key", err, sdk.ErrNotExist, "there is no such key", "vault write -f")
	_, err = p.Wrap(t.Context(), made.Reveal())
	if !errors.Is(err, sdk.ErrNotExist) && !errors.Is(err, sdk.ErrPermission) {
		t.Errorf("Wrap with a deleted key: %v", err)
	}
	_, err = open(t.Context(), cfg)
	refused(t, "open", err, sdk.ErrNotExist, "there is no such key", "vault write -f "+mount+"/keys/brock")

	l.put(mount+"/keys/brock", nil) // of the same name
	young := roundTrip(t, p)
	_, err = p.Unwrap(t.Context(), three)
	refused(t, "key made anew", err, sdk.ErrWrongKey, "wrapped by version 3, which key "+one.KeyID+" does not have", "made anew, or this is another Vault")
	_, err = p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: one.KeyID, Ciphertext: one.Ciphertext})
	refused(t, "key made anew", err, sdk.ErrWrongKey, "version 1 of key "+one.KeyID+" did not wrap this data key", "made anew, or this is another Vault")
	if young.KeyVersion != "1" {
		t.Errorf("the new key's version is %s", young.KeyVersion)
	}
}

func TestTransitKeysThatCannotBeUsed(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	l.put(mount+"/keys/derived", map[string]any{"derived": true})
	l.put(mount+"/keys/signs", map[string]any{"type": "ed25519"})
	for _, c := range []struct {
		mount, key, policy string
		kind               error
		text, hint         string
	}{
		{mount, "nope", "*: read, update, create", sdk.ErrNotExist, "there is no such key", "check transit_key"},
		{"no-such-mount", key, "*: read", sdk.ErrNotExist, "no handler for route", "no secrets engine is mounted"},
		{mount, "derived", "*: read", sdk.ErrInvalid, "made for derivation", "without derived=true"},
		{mount, "signs", "*: read", sdk.ErrInvalid, "of type ed25519, which does not encrypt", "vault write -f"},
	} {
		cfg := l.withTransit(l.config(), c.mount, c.key)
		cfg.Token = sdk.NewSecret(l.token(l.policy(c.policy)))
		_, err := open(t.Context(), cfg)
		refused(t, c.key, err, c.kind, c.text, c.hint)
	}
	// Looking for a key that is not there has made none.
	if s, err := l.root.Logical().ReadWithContext(t.Context(), mount+"/keys/nope"); err != nil || s != nil {
		t.Errorf("there is a key now: %v, %v", s, err)
	}
}

// Who may only encrypt can make backups; what else is wanted is refused with the policy that is missing.
func TestTransitWithFewRights(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	cfg := l.withTransit(l.config(), mount, key)
	cfg.Token = sdk.NewSecret(l.token(l.policy(mount + "/encrypt/brock: update")))
	p := mustOpen(t, cfg)
	w, err := p.Wrap(t.Context(), random(32))
	if err != nil {
		t.Fatal(err)
	}
	_, unwrapErr := p.Unwrap(t.Context(), w)
	_, rewrapErr := p.Rewrap(t.Context(), w)
	_, _, generateErr := p.GenerateDataKey(t.Context())
	_, statusErr := p.KeyStatus(t.Context())
	_, rotateErr := p.RotateKey(t.Context())
	for path, err := range map[string]error{
		`decrypt/brock" { capabilities = ["update"] }`: unwrapErr, `rewrap/brock" { capabilities = ["update"] }`: rewrapErr,
		`datakey/plaintext/brock" { capabilities = ["update"] }`: generateErr, `keys/brock" { capabilities = ["read"] }`: statusErr,
		`keys/brock/rotate" { capabilities = ["update"] }`: rotateErr,
	} {
		refused(t, path, err, sdk.ErrPermission, "permission denied (HTTP 403)", mount+"/"+path)
	}
}

func TestTransitRefusesWhatIsNotItsOwn(t *testing.T) {
	l := newLab(t, servers.Vault(t))
	mount, key := l.transit(nil)
	p := mustOpen(t, l.withTransit(l.config(), mount, key))
	w := roundTrip(t, p)
	for _, text := range []string{
		"", "vault:v1:", "vault:v0:AAAA", "vault:v01:AAAA", "vault:v1:AAA", "vault:v1:AAB=", "VAULT:v1:AAAA", "vault:v1:AAAA\n",
		"vault:v99999999999999999999:AAAA", "vault:v-1:AAAA", `vault:v1:AAAA","x":"`, string(w.Ciphertext) + "=",
	} {
		_, err := p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: []byte(text)})
		refused(t, text, err, sdk.ErrCorrupt, "not as key "+w.KeyID+" writes it", "")
	}
	_, err := p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: []byte("vault:v1:AAAA")})
	refused(t, "short", err, sdk.ErrWrongKey, "did not wrap this data key", "")
	_, err = p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: "transit/else", Ciphertext: w.Ciphertext})
	refused(t, "other id", err, sdk.ErrWrongKey, `wrapped by "transit/else", and this is key "`+w.KeyID+`"`, "")
	for _, size := range []int{0, 257} {
		_, err = p.Wrap(t.Context(), random(size))
		refused(t, "size", err, sdk.ErrInvalid, "data key of", "")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = p.Unwrap(t.Context(), w); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Unwrap after Close: %v", err)
	}
	if _, err = p.Wrap(t.Context(), random(32)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Wrap after Close: %v", err)
	}
	if _, err = p.KeyStatus(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("KeyStatus after Close: %v", err)
	}
	if _, err = p.RotateKey(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("RotateKey after Close: %v", err)
	}
}
