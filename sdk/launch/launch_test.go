//go:build unix

package launch

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
)

func TestDescription(t *testing.T) {
	d := start(t, "memory", Options{}).Description()
	if d.Name != "memory" || d.Version != "1.2.3" || d.Kind != "destination" || d.Protocol != 1 ||
		!slices.Equal(d.Schemes, []string{"mem"}) || !slices.Equal(d.Capabilities, []string{"replace"}) {
		t.Errorf("got %+v", d)
	}
	want := sdk.Setting{Name: "token", Type: "string", Secret: true, Env: "TEST_TOKEN", Doc: "credential"}
	if len(d.Settings) != 4 || d.Settings[1] != want {
		t.Errorf("settings = %+v, want %+v as the second of four", d.Settings, want)
	}
}

func TestDestination(t *testing.T) {
	_, d := open(t, "memory", map[string]any{"uri": "mem://x", "number": "7"})
	for _, size := range []int{0, 1, frame.Size - 1, frame.Size, frame.Size + 1, 5*frame.Size + 3} {
		want := bytes.Repeat([]byte("brock"), size/5+1)[:size]
		if err := d.Put(t.Context(), "a/1", bytes.NewReader(want)); err != nil {
			t.Fatal(err)
		}
		for _, offset := range []int{0, size / 2, size} {
			r, err := d.Get(t.Context(), "a/1", int64(offset))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want[offset:]) {
				t.Errorf("Get of %d bytes at %d: %d bytes, %v", size, offset, len(got), err)
			}
			r.Close()
		}
		if err := d.Put(t.Context(), "a/1", strings.NewReader("other")); !errors.Is(err, sdk.ErrExist) {
			t.Errorf("second Put: %v; want ErrExist", err)
		}
		if err := d.Delete(t.Context(), "a/1"); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Get(t.Context(), "a/1", 0); !errors.Is(err, sdk.ErrNotExist) || err.Error() != "a/1: file does not exist" {
		t.Errorf("Get of nothing: %v; want ErrNotExist with its text", err)
	}
}

func TestReplace(t *testing.T) {
	_, d := open(t, "memory", nil)
	r := d.(sdk.Replacer)
	if v, err := r.Version(t.Context(), "m"); v != "" || err != nil {
		t.Errorf("Version of nothing = %q, %v", v, err)
	}
	v1, err := r.Replace(t.Context(), "m", strings.NewReader("one"), "")
	if err != nil || v1 == "" {
		t.Fatalf("Replace of nothing = %q, %v", v1, err)
	}
	if _, err := r.Replace(t.Context(), "m", strings.NewReader("two"), ""); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("stale Replace: %v; want ErrConflict", err)
	}
	v2, err := r.Replace(t.Context(), "m", strings.NewReader("two"), v1)
	if now, _ := r.Version(t.Context(), "m"); err != nil || v2 == v1 || now != v2 {
		t.Errorf("Replace = %q, %v; Version = %q", v2, err, now)
	}
}

func TestKeyProvider(t *testing.T) {
	p := start(t, "keys", Options{})
	k, err := p.OpenKeyProvider(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := k.Wrap(t.Context(), []byte("data key"))
	if err != nil || w.KeyID != "ring/1" {
		t.Fatalf("Wrap = %v, %v", w, err)
	}
	if key, err := k.Unwrap(t.Context(), w); string(key) != "data key" || err != nil {
		t.Errorf("Unwrap = %q, %v", key, err)
	}
	long := sdk.WrappedKey{KeyID: w.KeyID, Ciphertext: []byte("long")}
	if key, err := k.Unwrap(t.Context(), long); err == nil || !strings.Contains(err.Error(), "1048576 bytes") {
		t.Errorf("Unwrap of a key of 1 MiB = %d bytes, %v", len(key), err)
	}
	w.KeyID = "other"
	if _, err := k.Unwrap(t.Context(), w); !errors.Is(err, sdk.ErrWrongKey) {
		t.Errorf("Unwrap with another key: %v; want ErrWrongKey", err)
	}
	key, err := k.(sdk.KeyExporter).ExportKey(t.Context())
	if len(key.Reveal()) != 32 || err != nil {
		t.Errorf("ExportKey = %d bytes, %v", len(key.Reveal()), err)
	}
	if _, err := p.OpenDestination(t.Context(), nil); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("OpenDestination of a key provider: %v; want ErrInvalid", err)
	}
}
