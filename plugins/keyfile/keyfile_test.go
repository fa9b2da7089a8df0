//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, asUser) }

func TestKeyProvider(t *testing.T) {
	other := Config{Path: keyFile(t, 32, 0x55)}
	for _, size := range []int{16, 24, 32} {
		t.Run(count(int64(size), "byte"), func(t *testing.T) {
			sdktest.TestKeyProvider(t, Config{Path: keyFile(t, size, 0xa7)}, sdktest.Other(other))
		})
	}
}

func keyFile(t *testing.T, size int, seed byte) string {
	t.Helper()
	key := make([]byte, size)
	for i := range key {
		key[i] = seed + byte(i*37)
	}
	return write(t, key)
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The key is the file, byte for byte: also where it looks like text that ends.
func TestExportIsTheFile(t *testing.T) {
	for _, content := range []string{
		"0123456789abcdef", "0123456789abcde\n", "\x00\x01\xff\xfe56789abcdef ", "123456789012345678901234",
		"12345678901234567890123456789012", "\xef\xbb\xbf567890123456789012345678901\r\n",
	} {
		p, err := open(t.Context(), Config{Path: write(t, []byte(content))})
		if err != nil {
			t.Errorf("open with a key of %d bytes: %v", len(content), err)
			continue
		}
		key, err := p.ExportKey(t.Context())
		if err != nil || !bytes.Equal(key.Reveal(), []byte(content)) {
			t.Errorf("ExportKey = %q, %v; want the file %q", key.Reveal(), err, content)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	k32 := strings.Repeat("k", 32)
	for name, c := range map[string]struct{ content, text, hint string }{
		"empty":          {"", "0 bytes, want 16, 24 or 32", ""},
		"one byte":       {"x", "1 byte, want 16, 24 or 32", ""},
		"15":             {k32[:15], "15 bytes, want 16, 24 or 32", ""},
		"33":             {k32 + "k", "33 bytes, want 16, 24 or 32", ""},
		"long":           {strings.Repeat("k", 5000), "5000 bytes, want", ""},
		"newline":        {k32 + "\n", "33 bytes, the last 1 of them a newline, want", "head -c 32"},
		"crlf":           {k32[:16] + "\r\n", "18 bytes, the last 2 of them a newline, want", "head -c 16"},
		"hex":            {hex.EncodeToString([]byte(k32)), "64 bytes, want", "xxd -r -p"},
		"hex and a line": {hex.EncodeToString([]byte(k32)) + "\n", "65 bytes, want", "xxd -r -p"},
	} {
		path := write(t, []byte(c.content))
		_, err := open(t.Context(), Config{Path: path})
		if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ErrInvalid, %q and the path", name, err, c.text)
		}
		if hint := sdk.Hint(err); !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
			t.Errorf("%s: hint %q, want %q", name, hint, c.hint)
		}
		if len(c.content) > 8 && strings.Contains(err.Error()+sdk.Hint(err), c.content[:8]) {
			t.Errorf("%s: %v shows the content", name, err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]error{
		filepath.Join(dir, "missing"): fs.ErrNotExist,
		dir:                           sdk.ErrInvalid,
		os.DevNull:                    sdk.ErrInvalid,
		filepath.Join(write(t, []byte("x")), "x"):        sdk.ErrInvalid,
		filepath.Join(dir, strings.Repeat("long", 1000)): sdk.ErrInvalid,
	} {
		if _, err := open(t.Context(), Config{Path: path}); !errors.Is(err, want) {
			t.Errorf("open(%.60s): %v, want the kind %q", path, err, want)
		}
	}
}

// The format of a wrapped key does not change: what is in a backup must be
// readable for ever.
func TestUnwrapOldBackup(t *testing.T) {
	p, err := open(t.Context(), Config{Path: write(t, []byte(strings.Repeat("k", 32)))})
	if err != nil {
		t.Fatal(err)
	}
	const id, wrapped = "keyfile/3818ccd3e3330ae7", "01cb4e84c77c37cfca5daea3548c344cb8a9f89b8b5263061e76a641c5b90a81be1026e350a60cec2d5695c990f7de43e589ab263907c3c5b7f52e4fa0"
	ciphertext, err := hex.DecodeString(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	key, err := p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: id, Ciphertext: ciphertext})
	if want := "data key of a backup of long ago"; string(key) != want || err != nil {
		t.Errorf("Unwrap = %q, %v; want %q", key, err, want)
	}
}

func TestClosedProviderHasNoKey(t *testing.T) {
	p, err := open(t.Context(), Config{Path: keyFile(t, 16, 1)})
	if err != nil {
		t.Fatal(err)
	}
	key := p.key
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key, make([]byte, 16)) {
		t.Error("the key is still in memory")
	}
	if _, err := p.ExportKey(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ExportKey: %v, want ErrClosed", err)
	}
	if _, err := p.Wrap(t.Context(), make([]byte, 32)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Wrap: %v, want ErrClosed", err)
	}
	if _, err := p.Unwrap(t.Context(), sdk.WrappedKey{KeyID: p.id}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Unwrap: %v, want ErrClosed", err)
	}
}

// The warning is a line that the host's log understands.
func TestWarnsOfOtherUsers(t *testing.T) {
	path := keyFile(t, 32, 9)
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		p := sdktest.Start(t)
		if _, err := p.OpenKeyProvider(t.Context(), map[string]any{"path": path}); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil { // and all is said
			t.Error(err)
		}
		said := strings.Join(p.Stderr(), "\n")
		if !want && said != "" {
			t.Errorf("with mode %04o it says %q, want nothing", mode, said)
		}
		for _, part := range []string{`"@level":"warn"`, path, fmt.Sprintf("%04o", mode)} {
			if want && !strings.Contains(said, part) {
				t.Errorf("with mode %04o it says %q, want a warning with %s", mode, said, part)
			}
		}
	}
}

func TestPermissionIsSaid(t *testing.T) {
	path := keyFile(t, 32, 9)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	p := sdktest.Start(t, "BROCK_TEST_UID=65534")
	_, err := p.OpenKeyProvider(t.Context(), map[string]any{"path": path})
	if !errors.Is(err, sdk.ErrPermission) || errors.Is(err, sdk.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("open of a forbidden file: %v, want ErrPermission and the path", err)
	}
}

// asUser is the plugin, which becomes an ordinary user if it is root: nothing is
// forbidden to root.
func asUser() {
	sdk.ServeKeyProvider(plugin, func(ctx context.Context, cfg Config) (*provider, error) {
		if uid, err := strconv.Atoi(os.Getenv("BROCK_TEST_UID")); err == nil && os.Getuid() == 0 {
			if err := syscall.Setuid(uid); err != nil {
				return nil, err
			}
		}
		return open(ctx, cfg)
	})
}
