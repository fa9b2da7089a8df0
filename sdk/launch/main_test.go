//go:build unix

package launch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk"
)

// The test binary is also every plugin and every host of the tests: roleEnv says
// which.
const roleEnv = "BROCK_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	role = roleOfLife(role)
	play, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "unknown role", role)
		os.Exit(99)
	}
	play()
}

// startsEnv names a file that gets a byte for every start of a plugin.
const startsEnv = "BROCK_TEST_STARTS"

// roleOfLife picks the role of this start from a list of them. The last is that
// of all later starts, too.
func roleOfLife(list string) string {
	path := os.Getenv(startsEnv)
	if path == "" {
		return list
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		panic(err)
	}
	all := strings.Split(list, ",")
	return all[min(int(info.Size()), len(all)-1)]
}

// start starts the test binary in a role.
func start(t *testing.T, role string, o Options) *Process {
	t.Helper()
	p, err := try(t, role, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func try(t *testing.T, role string, o Options) (*Process, error) {
	t.Helper()
	o.Env = append(o.Env, roleEnv+"="+role)
	p, err := Start(t.Context(), os.Args[0], o)
	if err == nil {
		t.Cleanup(func() { p.Close() })
	}
	return p, err
}

// open starts a destination and opens it.
func open(t *testing.T, role string, settings map[string]any) (*Process, sdk.Destination) {
	t.Helper()
	p := start(t, role, Options{})
	return p, openDestination(t, p, settings)
}

func openDestination(t *testing.T, p *Process, settings map[string]any) sdk.Destination {
	t.Helper()
	d, err := p.OpenDestination(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// soon is how long what takes a second or two may take on a machine that is busy
// with something else.
const soon = 15 * time.Second

// within fails the test if what it waits for takes longer than d.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s took more than %v", what, d)
	}
}

// A config is the settings of the test plugins.
type config struct {
	URI    string        `json:"uri" doc:"where"`
	Token  sdk.Secret    `json:"token" env:"TEST_TOKEN" doc:"credential"`
	Wait   time.Duration `json:"wait" default:"3s"`
	Number int           `json:"number"`
}

// A memory is a destination, as simple as it can be.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func serveMemory[D sdk.Destination](open func(context.Context, config) (D, error)) {
	sdk.ServeDestination(sdk.Plugin{Name: "memory", Version: "1.2.3", Doc: "Forgets.", Schemes: []string{"mem"}, Env: []string{"MEMORY_TRACE"}}, open)
}

func openMemory(context.Context, config) (*memory, error) {
	return &memory{objects: map[string][]byte{}}, nil
}

func (m *memory) Put(_ context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[name]; ok {
		return fmt.Errorf("%s: %w", name, sdk.ErrExist)
	}
	m.objects[name] = data
	return nil
}

func (m *memory) Get(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, sdk.ErrNotExist)
	}
	if offset > int64(len(data)) {
		return nil, fmt.Errorf("%s at %d: %w", name, offset, sdk.ErrInvalid)
	}
	return io.NopCloser(bytes.NewReader(data[offset:])), nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[sdk.Object, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.objects))
	return func(yield func(sdk.Object, error) bool) {
		for _, name := range names {
			m.mu.Lock()
			size := int64(len(m.objects[name]))
			m.mu.Unlock()
			if strings.HasPrefix(name, prefix) && !yield(sdk.Object{Name: name, Size: size}, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memory) Replace(_ context.Context, name string, r io.Reader, version string) (string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version(name) != version {
		return "", fmt.Errorf("%s: %w", name, sdk.ErrConflict)
	}
	m.objects[name] = data
	return m.version(name), nil
}

func (m *memory) Version(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version(name), nil
}

func (m *memory) version(name string) string {
	data, ok := m.objects[name]
	if !ok {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// A ring is a key provider that turns bytes round.
type ring struct{}

func serveKeys() {
	sdk.ServeKeyProvider(sdk.Plugin{Name: "ring"}, func(context.Context, struct{}) (ring, error) { return ring{}, nil })
}

func (ring) Wrap(_ context.Context, key []byte) (sdk.WrappedKey, error) {
	w := slices.Clone(key)
	slices.Reverse(w)
	return sdk.WrappedKey{KeyID: "ring/1", Ciphertext: w}, nil
}

func (ring) Unwrap(_ context.Context, w sdk.WrappedKey) ([]byte, error) {
	if w.KeyID != "ring/1" {
		return nil, fmt.Errorf("want key ring/1, have %s: %w", w.KeyID, sdk.ErrWrongKey)
	}
	if string(w.Ciphertext) == "long" {
		return make([]byte, 1<<20), nil
	}
	slices.Reverse(w.Ciphertext)
	return w.Ciphertext, nil
}

func (ring) ExportKey(context.Context) (sdk.Secret, error) {
	return sdk.NewSecret(bytes.Repeat([]byte{0xff}, 32)), nil
}
