package host

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

// A wrapper is a key provider that only wraps.
type wrapper struct {
	id       string
	versions [][]byte // by version, from 1; nil once destroyed
	unwraps  int
}

func newWrapper(id string) *wrapper {
	w := &wrapper{id: id}
	w.rotate()
	return w
}

func (w *wrapper) rotate() {
	kek := make([]byte, 32)
	_, _ = rand.Read(kek)
	w.versions = append(w.versions, kek)
}

func (w *wrapper) aead(version int) (cipher.AEAD, error) {
	if version < 1 || version > len(w.versions) || w.versions[version-1] == nil {
		return nil, fmt.Errorf("%s has no version %d: %w", w.id, version, sdk.ErrWrongKey)
	}
	block, err := aes.NewCipher(w.versions[version-1])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (w *wrapper) Wrap(_ context.Context, key []byte) (sdk.WrappedKey, error) {
	a, err := w.aead(len(w.versions))
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	return sdk.WrappedKey{KeyID: w.id, KeyVersion: strconv.Itoa(len(w.versions)), Ciphertext: a.Seal(nil, nil, key, nil)}, nil
}

func (w *wrapper) Unwrap(_ context.Context, k sdk.WrappedKey) ([]byte, error) {
	w.unwraps++
	version, _ := strconv.Atoi(k.KeyVersion)
	a, err := w.aead(version)
	if err == nil && k.KeyID != w.id {
		err = sdk.ErrWrongKey
	}
	if err != nil {
		return nil, err
	}
	key, err := a.Open(nil, nil, k.Ciphertext, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sdk.ErrWrongKey, err)
	}
	return key, nil
}

// A service is a wrapper that rotates.
type service struct{ *wrapper }

func (s service) KeyStatus(context.Context) (sdk.KeyStatus, error) {
	return sdk.KeyStatus{KeyID: s.id, KeyVersion: strconv.Itoa(len(s.versions))}, nil
}

func (s service) RotateKey(ctx context.Context) (sdk.KeyStatus, error) {
	s.rotate()
	return s.KeyStatus(ctx)
}

func (s service) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	w, err := s.Wrap(ctx, key)
	return sdk.NewSecret(key), w, err
}

func (s service) Rewrap(ctx context.Context, k sdk.WrappedKey) (sdk.WrappedKey, error) {
	key, err := s.Unwrap(ctx, k)
	if err != nil {
		return sdk.WrappedKey{}, err
	}
	return s.Wrap(ctx, key)
}

// twoDays are two states of one database.
func twoDays(t *testing.T, e *Engine) []string {
	t.Helper()
	f := fixtures(t)[0]
	from := location(t, filepath.Join(f.dir, "backup"))
	var dirs []string
	for point := range 2 {
		dirs = append(dirs, restore(t, e, RestoreRequest{From: from, Key: keyOf(f.key), Number: point + 1, KeepVersions: true}))
	}
	return dirs
}

func TestEnvelope(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	for name, p := range map[string]sdk.KeyProvider{"wraps": newWrapper("w"), "rotates": service{newWrapper("s")}} {
		at := Location{URI: "memory", Destination: sdktest.NewMemory()}
		key := &Key{Name: name, Provider: p}
		backup(t, e, days[0], BackupRequest{To: at, Key: key})
		backup(t, e, days[1], BackupRequest{To: at, Key: key})
		equalsTruth(t, e, fixtures(t)[0], 1, RestoreRequest{From: at, Key: key})
		equalsTruth(t, e, fixtures(t)[0], 0, RestoreRequest{From: at, Key: key, Number: 1})
		verified(t, e, at, key)

		list, err := e.List(t.Context(), at)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		one, two := list[0].Manifest.Record, list[1].Manifest.Record
		if one.KeyProvider != name || one.Wrapped == nil || one.Wrapped.KeyVersion != "1" || one.Wrapped.KeyID == "" ||
			!bytes.Equal(one.Wrapped.Ciphertext, two.Wrapped.Ciphertext) || one.KeyCheck != two.KeyCheck {
			t.Errorf("%s: records %+v and %+v", name, one, two)
		}
		backup(t, e, days[0], BackupRequest{To: at, Key: key, ForceFull: true})
		list, _ = e.List(t.Context(), at)
		if other := list[2].Manifest.Record; other.KeyCheck == one.KeyCheck || bytes.Equal(other.Wrapped.Ciphertext, one.Wrapped.Ciphertext) {
			t.Errorf("%s: two series have one data key", name)
		}
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	good := &Key{Name: "kms", Provider: service{newWrapper("ours")}}
	backup(t, e, days[0], BackupRequest{To: at, Key: good})
	before := names(t, at)
	for _, tt := range []struct {
		name string
		key  *Key
		want []string
	}{
		{"no key", nil, []string{"encrypted"}},
		{"another service", &Key{Name: "kms2", Provider: service{newWrapper("theirs")}}, []string{"ours version 1", "theirs version 1", "kms2"}},
		{"the same name, another key", &Key{Name: "kms", Provider: newWrapper("ours")}, []string{"ours version 1"}},
	} {
		src := source(t, days[1])
		_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at, Key: tt.key})
		src.Close()
		_, restored := e.Restore(t.Context(), RestoreRequest{From: at, Key: tt.key, Postings: filepath.Join(t.TempDir(), "p")})
		for what, err := range map[string]error{"backup": err, "restore": restored} {
			if !IsUsage(err) || tt.key != nil && !errors.Is(err, sdk.ErrWrongKey) {
				t.Errorf("%s: %s: %v; want a usage error of the kind ErrWrongKey", tt.name, what, err)
				continue
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s: %v does not name %s", tt.name, what, err, want)
				}
			}
		}
	}
	raw := keyOf(bytes.Repeat([]byte{7}, 32))
	src := source(t, days[1])
	_, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at, Key: raw})
	src.Close()
	if !IsUsage(err) {
		t.Errorf("a key file for a series that was wrapped: %v", err)
	}
	if after := names(t, at); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("something was written: %v", after)
	}

	plain := Location{URI: "memory", Destination: sdktest.NewMemory()}
	backup(t, e, days[0], BackupRequest{To: plain, Key: raw})
	src = source(t, days[1])
	_, err = e.Backup(t.Context(), BackupRequest{Source: src, To: plain, Key: good})
	src.Close()
	if !IsUsage(err) || !strings.Contains(err.Error(), "does not hand out") {
		t.Errorf("a provider that wraps for a series with a raw key: %v", err)
	}
}

// A wrapped key that was moved to another series is refused, and so is one whose
// binding was forged.
func TestWrappedKeyBelongsToItsSeries(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	key := &Key{Name: "kms", Provider: newWrapper("w")}
	for _, forged := range []bool{false, true} {
		mem := sdktest.NewMemory()
		at := Location{URI: "memory", Destination: mem}
		backup(t, e, days[0], BackupRequest{To: at, Key: key})
		backup(t, e, days[0], BackupRequest{To: at, Key: key, ForceFull: true})
		list, err := e.List(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		from, to := list[0].Manifest, list[1].Manifest
		moved := &manifest.KeyRecord{Series: to.Series, Provider: "kms", KeyCheck: to.Record.KeyCheck, Wrapped: *from.Record.Wrapped}
		if forged {
			_, moved.Wrapped.AAD = manifest.Binding(to.Series, to.Kind)
		}
		data, err := manifest.EncodeKeyRecord(moved)
		if err != nil {
			t.Fatal(err)
		}
		if err := mem.Put(t.Context(), manifest.KeyRecordName(to.Series, 1), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		_, err = e.Restore(t.Context(), RestoreRequest{From: at, Key: key, Series: to.Series, Postings: filepath.Join(t.TempDir(), "p")})
		if !IsDamage(err) || !strings.Contains(err.Error(), to.Series) {
			t.Errorf("forged %v: %v; want damage that names the series", forged, err)
		}
		if _, err := e.Restore(t.Context(), RestoreRequest{From: at, Key: key, Series: from.Series, Postings: filepath.Join(t.TempDir(), "p")}); err != nil {
			t.Errorf("the other series: %v", err)
		}
	}
}

func TestRewrap(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	for _, rotates := range []bool{false, true} {
		w := newWrapper("kms")
		key := &Key{Name: "kms", Provider: w}
		if rotates {
			key.Provider = service{w}
		}
		whole := sdktest.NewMemory()
		at := Location{URI: "memory", Destination: whole}
		backup(t, e, days[0], BackupRequest{To: at, Key: key})
		backup(t, e, days[0], BackupRequest{To: at, Key: key, ForceFull: true})
		if all, err := e.Rewrap(t.Context(), at, key); err != nil || len(all) != 2 || all[0].Rewrapped || all[0].Stale || !all[0].Wrapped {
			t.Errorf("nothing to do: %+v, %v", all, err)
		}
		w.rotate()
		if all, err := e.Keys(t.Context(), at, key); err != nil || !all[0].Stale || !all[1].Stale || all[0].KeyVersion != "1" || all[0].Err != nil {
			t.Errorf("after the rotation: %+v, %v", all, err)
		}
		before := names(t, at)
		for n := 1; ; n++ {
			mem := sdktest.NewMemory()
			copyAll(t, whole, mem)
			clean := Location{URI: "memory", Destination: mem}
			fault := sdktest.NewFault(mem)
			fault.FailAt(n, errInjected)
			all, err := e.Rewrap(t.Context(), Location{URI: "faulty", Destination: fault}, key)
			if fault.Count() < n {
				if err != nil || !all[0].Rewrapped || !all[1].Rewrapped || all[0].KeyVersion != "2" {
					t.Fatalf("%+v, %v", all, err)
				}
				break
			}
			if err == nil && all[0].Err == nil && all[1].Err == nil {
				t.Errorf("operation %d failed, and nobody says so", n)
			}
			equalsTruth(t, e, fixtures(t)[0], 0, RestoreRequest{From: clean, Key: key})
			if all, err = e.Rewrap(t.Context(), clean, key); err != nil || all[0].Err != nil || all[1].Err != nil {
				t.Fatalf("again: %+v, %v", all, err)
			}
			if all, err = e.Keys(t.Context(), clean, key); err != nil || all[0].Stale || all[1].Stale {
				t.Errorf("operation %d: after the next rewrap: %+v, %v", n, all, err)
			}
		}
		if _, err := e.Rewrap(t.Context(), at, key); err != nil {
			t.Fatal(err)
		}
		for _, name := range names(t, at) {
			if number, ok := manifest.IsKeyRecord(name); !ok && !strings.Contains(strings.Join(before, " "), name) || ok && number != 1 {
				t.Errorf("%s is new", name)
			}
		}
		w.versions[0] = nil // destroyed: only what was wrapped again opens
		equalsTruth(t, e, fixtures(t)[0], 0, RestoreRequest{From: at, Key: key})
		backup(t, e, days[1], BackupRequest{To: at, Key: key})
		list, err := e.List(t.Context(), at)
		if err != nil || list[2].Manifest.Record.Wrapped.KeyVersion != "2" {
			t.Errorf("the next backup: %+v, %v", list, err)
		}
		verified(t, e, at, key)
		if _, err := e.Prune(t.Context(), PruneRequest{At: at, Keep: 1}); err != nil {
			t.Fatal(err)
		}
		closing := manifest.RecordName(list[0].Manifest.Series, list[0].Manifest.Number+1)
		for _, name := range names(t, at) {
			if strings.Contains(name, list[0].Manifest.Series) && name != closing {
				t.Errorf("%s is left by prune", name)
			}
		}
		w.versions[1] = nil
		_, err = e.Restore(t.Context(), RestoreRequest{From: at, Key: key, Postings: filepath.Join(t.TempDir(), "p")})
		if !errors.Is(err, sdk.ErrWrongKey) || !strings.Contains(err.Error(), "kms version 2") {
			t.Errorf("all versions destroyed: %v", err)
		}
	}
}

// A slow service does something else while it wraps again.
type slow struct {
	service
	meanwhile func()
}

func (s slow) Rewrap(ctx context.Context, k sdk.WrappedKey) (sdk.WrappedKey, error) {
	w, err := s.service.Rewrap(ctx, k)
	s.meanwhile()
	return w, err
}

func TestRewrapBesideAnother(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	for _, later := range []bool{false, true} {
		kms := service{newWrapper("kms")}
		fast := &Key{Name: "kms", Provider: kms}
		at := Location{URI: "memory", Destination: sdktest.NewMemory()}
		backup(t, e, days[0], BackupRequest{To: at, Key: fast})
		kms.rotate()
		versions := kms.versions
		if later { // the slower one wraps with the later version
			kms.rotate()
		}
		meanwhile := func() {
			whole := kms.versions
			kms.versions = versions
			if all, err := e.Rewrap(t.Context(), at, fast); err != nil || !all[0].Rewrapped {
				t.Errorf("the faster one: %+v, %v", all, err)
			}
			kms.versions = whole
		}
		all, err := e.Rewrap(t.Context(), at, &Key{Name: "kms", Provider: slow{kms, meanwhile}})
		if err != nil || all[0].Err != nil || all[0].Stale || all[0].Rewrapped != later {
			t.Errorf("the slower one: %+v, %v", all, err)
		}
		if now, err := e.Keys(t.Context(), at, fast); err != nil || now[0].Stale || now[0].Err != nil || now[0].KeyVersion != all[0].KeyVersion {
			t.Errorf("afterwards: %+v, %v", now, err)
		}
	}
}

// full takes no key record.
type full struct{ sdk.Destination }

func (f full) Put(context.Context, string, io.Reader) error { return sdk.ErrNoSpace }

func TestRewrapThatIsNotStored(t *testing.T) {
	e := &Engine{}
	kms := service{newWrapper("kms")}
	key := &Key{Name: "kms", Provider: kms}
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	backup(t, e, twoDays(t, e)[0], BackupRequest{To: at, Key: key})
	kms.rotate()
	all, err := e.Rewrap(t.Context(), Location{URI: "full", Destination: full{at.Destination}}, key)
	if err != nil || !errors.Is(all[0].Err, sdk.ErrNoSpace) || !all[0].Opened || !all[0].Stale {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestExportedKeyIsTheFilesKey(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	key := &Key{Name: "kms", Provider: newWrapper("kms")}
	mem := sdktest.NewMemory()
	at := Location{URI: "memory", Destination: mem}
	backup(t, e, days[0], BackupRequest{To: at, Key: key})
	series, data, err := e.ExportKey(t.Context(), at, key, "")
	if err != nil || len(data) != 32 || series == "" {
		t.Fatalf("%q, %d bytes, %v", series, len(data), err)
	}
	equalsTruth(t, e, fixtures(t)[0], 0, RestoreRequest{From: at, Key: keyOf(data)})
	if _, err := e.Restore(t.Context(), RestoreRequest{From: at, Key: keyOf(bytes.Repeat([]byte{1}, 32)), Postings: filepath.Join(t.TempDir(), "p")}); !IsUsage(err) {
		t.Errorf("another key file: %v", err)
	}

	// As Dgraph sees the location: without commit records.
	for _, name := range names(t, at) {
		if strings.HasPrefix(name, "brock/") || strings.HasSuffix(name, ".seal") {
			if err := mem.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	equalsTruth(t, e, fixtures(t)[0], 0, RestoreRequest{From: at, Key: keyOf(data)})
}

// A provider whose own key encrypts is told from one whose key has changed since.
func TestKeysTellsAnotherKey(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	at := Location{URI: "memory", Destination: sdktest.NewMemory()}
	key := keyOf(bytes.Repeat([]byte{7}, 32))
	backup(t, e, days[0], BackupRequest{To: at, Key: key})
	if all, err := e.Keys(t.Context(), at, key); err != nil || all[0].Err != nil || all[0].Wrapped || !all[0].Encrypted {
		t.Errorf("its key: %+v, %v", all, err)
	}
	all, err := e.Rewrap(t.Context(), at, keyOf(bytes.Repeat([]byte{8}, 32)))
	if err != nil || !errors.Is(all[0].Err, sdk.ErrWrongKey) {
		t.Errorf("another key: %+v, %v; want ErrWrongKey", all, err)
	}
}

// Whoever may not delete is not told at every backup that he may not.
func TestNothingToDelete(t *testing.T) {
	e := &Engine{}
	days := twoDays(t, e)
	at := Location{URI: "memory", Destination: nothingDeletable{sdktest.NewMemory()}}
	for _, day := range days {
		src := source(t, day)
		res, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at})
		src.Close()
		if err != nil || res.Warning != "" {
			t.Errorf("%v, warning %q", err, res.Warning)
		}
	}
	if err := at.Destination.Put(t.Context(), manifest.SummaryName, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	src := source(t, days[1])
	defer src.Close()
	res, err := e.Backup(t.Context(), BackupRequest{Source: src, To: at, ForceFull: true})
	if err != nil || !strings.Contains(res.Warning, manifest.SummaryName) {
		t.Errorf("beside a summary: %v, warning %q", err, res.Warning)
	}
}

// A destination where nothing is deletable.
type nothingDeletable struct{ *sdktest.Memory }

func (nothingDeletable) Delete(_ context.Context, name string) error {
	return fmt.Errorf("%s: %w", name, sdk.ErrPermission)
}
