//go:build unix

package launch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/sdk"
)

// go-plugin has one text for all of these, about the wrong architecture.
func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{
		"noise":   `wrote "hello from the plugin" to standard output`,
		"early":   "ended before it was ready: exit status 7, its last words:\n\tno disk today",
		"silent":  "ended before it was ready: exit status 0 (it wrote nothing to standard error)",
		"version": `speaks version "2" of Brock's protocol, this host speaks 1`,
		"core":    `go-plugin protocol "2", this host has 1`,
		"netrpc":  "does not speak gRPC",
		"notls":   "ignores AutoMTLS",
		"cookie":  "This binary is a plugin",
		"absent":  "unknown role [secret]", // it may be one: nothing has described itself
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			_, err := try(t, role, Options{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Start: %v; want %q", err, want)
			}
		})
	}
}

func TestStartHints(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{"noise": "standard error", "cookie": "another program"} {
		if _, err := try(t, role, Options{}); !strings.Contains(sdk.Hint(err), want) {
			t.Errorf("%s: hint %q of %v; want %q", role, sdk.Hint(err), err, want)
		}
	}
}

func TestStartHasADeadline(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"hang", "deaf"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			within(t, soon, "Start", func() {
				env := []string{"BROCK_TEST_CERT=" + certificate(t)}
				_, err := try(t, role, Options{StartTimeout: time.Second, Env: env})
				if err == nil || !strings.Contains(err.Error(), "was not ready in time") {
					t.Errorf("Start: %v; want one about time", err)
				}
			})
		})
	}
}

func TestStartCanBeCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Env: []string{roleEnv + "=hang"}, StartTimeout: time.Minute}
	time.AfterFunc(200*time.Millisecond, cancel)
	within(t, soon, "Start", func() {
		if _, err := Start(ctx, os.Args[0], o); !errors.Is(err, context.Canceled) {
			t.Errorf("Start: %v; want context.Canceled", err)
		}
	})
	if _, err := Start(ctx, os.Args[0], o); !errors.Is(err, context.Canceled) {
		t.Errorf("Start with an ended context: %v; want context.Canceled", err)
	}
}

// It is the file in the working directory, whatever lies in PATH.
func TestStartOfAFileInTheWorkingDirectory(t *testing.T) {
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "plugin")); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "plugin"), []byte("#!/bin/sh\nexit 9\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{os.Getenv("PATH"), other} {
		t.Setenv("PATH", path)
		t.Chdir(dir)
		p, err := Start(t.Context(), "plugin", Options{Env: []string{roleEnv + "=memory"}})
		if err != nil {
			t.Errorf("with PATH=%s: %v", path, err)
			continue
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// certificate returns the path of a certificate as a plugin sends it.
func certificate(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cert")
	if err := os.WriteFile(path, []byte(base64.RawStdEncoding.EncodeToString(der)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStartOfWhatIsNoPlugin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path string
		kind error
		want string
	}{
		{filepath.Join(dir, "absent"), fs.ErrNotExist, "no such file"},
		{dir, fs.ErrInvalid, "is a directory"},
		{file("mode", 0o600, "#!/bin/sh\n"), fs.ErrPermission, "is not executable"},
		{file("text", 0o700, "hello, world"), fs.ErrInvalid, "it is no program"},
		{file("empty", 0o700, ""), fs.ErrInvalid, "the file is empty"},
		{file("windows", 0o700, "MZ\x90\x00"), fs.ErrInvalid, "it is a program for Windows"},
		{file("script", 0o700, "#!/no/such/shell\n"), fs.ErrInvalid, "#!/no/such/shell"},
		{file("arch", 0o700, elfFor(0x16)), fs.ErrInvalid, "an ELF program for s390"},
	} {
		_, err := Start(t.Context(), c.path, Options{})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %v with %q", filepath.Base(c.path), err, c.kind, c.want)
		}
	}
}

// elfFor returns the head of a program for another machine.
func elfFor(machine uint16) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(h[16:], 2) // an executable
	binary.LittleEndian.PutUint16(h[18:], machine)
	binary.LittleEndian.PutUint32(h[20:], 1)
	binary.LittleEndian.PutUint64(h[32:], 64)
	binary.LittleEndian.PutUint16(h[52:], 64)
	binary.LittleEndian.PutUint16(h[54:], 56)
	binary.LittleEndian.PutUint16(h[58:], 64)
	return string(h)
}
