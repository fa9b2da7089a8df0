package conformance

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// The test binary is also the plugins of these tests.
func TestMain(m *testing.M) {
	if os.Getenv(handshake.Config.MagicCookieKey) == "" && !ByHand() {
		Init()
		goleak.VerifyTestMain(m)
	}
	if serve, ok := plugins[os.Getenv("BROCK_TEST_PLUGIN")]; ok {
		serve()
	}
	p := sdk.Plugin{Name: "ring", Version: "1", Doc: "For tests."}
	sdk.ServeKeyProvider(p, func(_ context.Context, c ringConfig) (*ring, error) {
		return &ring{broken: os.Getenv("BROCK_TEST_MUTANT"), key: c.Key}, nil
	})
}

// plugins are what the test binary can be, besides the ring.
var plugins = map[string]func(){}

type ringConfig struct {
	Key sdk.Secret `json:"key" required:"true" doc:"the key"`
}

// A ring is a key provider for data keys of up to 32 bytes.
type ring struct {
	broken string
	key    sdk.Secret
}

// common is shared by all rings of a process, and born is new in each process.
var (
	common atomic.Pointer[[]byte]
	born   = rand.Text()
	closed atomic.Bool
	kept   sync.Map
)

// Close implements io.Closer.
func (r *ring) Close() error {
	closed.Store(true)
	return nil
}

func (r *ring) id() string {
	if r.broken == "one id for all" {
		return "ring"
	}
	return "ring/" + r.key.RevealString()[:2]
}

// mix is its own inverse.
func (r *ring) mix(data []byte) []byte {
	out, pad := slices.Clone(data), sha256.Sum256(r.key.Reveal())
	if r.broken == "a key for each process" || r.broken == "close forgets the key of all" && closed.Load() {
		pad = sha256.Sum256([]byte(born))
	}
	for i := range out {
		out[i] ^= pad[i%len(pad)]
	}
	return out
}

func (r *ring) sum(data []byte) []byte {
	mac := hmac.New(sha256.New, r.key.Reveal())
	_, _ = mac.Write(data)
	return mac.Sum(nil)
}

func (r *ring) Wrap(ctx context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	if err := ctx.Err(); err != nil {
		return sdk.WrappedKey{}, err
	}
	switch r.broken {
	case "odd keys are cut":
		dataKey = dataKey[:len(dataKey)&^7]
	case "an empty key is made up":
		if len(dataKey) == 0 {
			dataKey = []byte("made up")
		}
	case "one buffer":
		common.Store(&dataKey)
		<-time.After(20 * time.Millisecond)
		dataKey = *common.Load()
	case "a file for each wrap":
		f, err := os.Open(os.DevNull)
		if err != nil {
			return sdk.WrappedKey{}, err
		}
		kept.Store(f, f)
	}
	w := sdk.WrappedKey{KeyID: r.id(), KeyVersion: "1", Ciphertext: append(r.sum(dataKey), r.mix(dataKey)...)}
	switch r.broken {
	case "plain text":
		w.Ciphertext = append(w.Ciphertext, dataKey...)
	case "id is new every time":
		w.KeyID += rand.Text()
	case "tells the key":
		fmt.Fprintf(os.Stderr, "wrapping %x\n", dataKey)
	}
	return w, nil
}

func (r *ring) Unwrap(_ context.Context, w sdk.WrappedKey) ([]byte, error) {
	switch {
	case r.broken == "accepts anything":
		return make([]byte, 32), nil
	case w.KeyID != r.id() && r.broken == "another key is damage":
		return nil, sdk.ErrCorrupt
	case w.KeyID != r.id() && r.broken != "id is new every time" && r.broken != "any id will do":
		return nil, fmt.Errorf("%s: %w", w.KeyID, sdk.ErrWrongKey)
	case len(w.Ciphertext) < sha256.Size:
		return nil, sdk.ErrCorrupt
	}
	dataKey := r.mix(w.Ciphertext[sha256.Size:])
	if slices.Equal(r.sum(dataKey), w.Ciphertext[:sha256.Size]) || r.broken == "does not check" {
		return dataKey, nil
	}
	switch r.broken {
	case "damage is nothing special":
		return nil, errors.New("no")
	case "tells the key in an error":
		return nil, fmt.Errorf("%w: the key is %x", sdk.ErrCorrupt, r.key.Reveal())
	}
	return nil, sdk.ErrCorrupt
}

func (r *ring) ExportKey(context.Context) (sdk.Secret, error) {
	switch r.broken {
	case "exports what Dgraph cannot use":
		return sdk.NewSecret("short"), nil
	case "exports another key each time":
		return sdk.NewSecret(rand.Text()[:16]), nil
	}
	return r.key, nil
}

func (r *ring) KeyStatus(context.Context) (sdk.KeyStatus, error) {
	if r.broken == "names another version" {
		return sdk.KeyStatus{KeyID: r.id(), KeyVersion: "2"}, nil
	}
	return sdk.KeyStatus{KeyID: r.id(), KeyVersion: "1"}, nil
}

func (r *ring) RotateKey(context.Context) (sdk.KeyStatus, error) {
	return sdk.KeyStatus{}, sdk.ErrUnsupported
}

func (r *ring) GenerateDataKey(ctx context.Context) (sdk.Secret, sdk.WrappedKey, error) {
	key := []byte(rand.Text() + rand.Text())[:32]
	switch r.broken {
	case "makes one key for all":
		key = []byte("0123456789abcdef0123456789abcdef")
	case "makes a short key":
		key = key[:31]
	}
	w, err := r.Wrap(ctx, key)
	if r.broken == "wraps another key than it made" {
		key[0] ^= 1
	}
	return sdk.NewSecret(key), w, err
}

func (r *ring) Rewrap(ctx context.Context, w sdk.WrappedKey) (sdk.WrappedKey, error) {
	key, err := r.Unwrap(ctx, w)
	switch {
	case r.broken == "rewraps anything":
		return w, nil
	case err != nil:
		return sdk.WrappedKey{}, err
	case r.broken == "rewraps another key":
		key[0] ^= 1
	}
	again, err := r.Wrap(ctx, key)
	if r.broken == "rewraps with yesterday's key" {
		again.KeyVersion = "0"
	}
	return again, err
}

func ringOf(key, broken string) Subject {
	return Subject{
		Path:     os.Args[0],
		Settings: map[string]any{"key": sdk.NewSecret(key)},
		Env:      []string{"BROCK_TEST_MUTANT=" + broken},
		Other:    &Variant{Settings: map[string]any{"key": sdk.NewSecret("other-key-56789x")}},
	}
}

func TestKeyProviderPasses(t *testing.T) {
	for r := range ringOf("0123456789abcdef", "").KeyProvider(t.Context()) {
		if !r.OK() && (len(r.Failures) > 0 || runtime.GOOS == "linux") {
			t.Errorf("%s: %q, skipped %q", r.Check, r.Failures, r.Skipped)
		}
	}
}

// A check that never comes back is a failure, and the next one is run.
func TestStuckCheck(t *testing.T) {
	defer func(a, b time.Duration) { checkTime, stuckTime = a, b }(checkTime, stuckTime)
	checkTime, stuckTime = 50*time.Millisecond, 0
	stuck, release := 0, make(chan struct{})
	defer close(release)
	checks := []check[int]{
		{"protocol", "core", "stuck", func(*trial, int) { <-release }},
		{"protocol", "core", "skipped", func(t *trial, _ int) { t.Skipf("no %s", "reason") }},
		{"protocol", "core", "fatal", func(t *trial, _ int) { t.Fatalf("over"); t.Errorf("not reached") }},
		{"protocol", "core", "good", func(t *trial, n int) { t.Cleanup(func() { t.Errorf("in the cleanup %d", n) }) }},
	}
	var got []string
	for r := range try(t.Context(), checks, func(*trial) int { return 7 }, func() { stuck++ }) {
		got = append(got, fmt.Sprint(r.Check, r.Failures, r.Skipped))
	}
	want := []string{"stuck[still not over after 50ms]", "skipped[]no reason", "fatal[over]", "good[in the cleanup 7]"}
	if !slices.Equal(got, want) || stuck != 1 {
		t.Errorf("results %q, %d stuck; want %q, 1", got, stuck, want)
	}
}

// Every check is explained, and nothing else is.
func TestEveryCheckIsExplained(t *testing.T) {
	groups := []string{
		"protocol", "put and get", "names", "list", "conditions", "errors", "life cycle",
		"concurrency", "leaks", "secrets", "speed",
	}
	names := map[string]bool{}
	for _, kind := range []string{"destination", "keyprovider"} {
		here := map[string]bool{}
		for _, c := range Checks(kind) {
			if here[c.Name] {
				t.Errorf("%s: two checks have the name %q", kind, c.Name)
			}
			here[c.Name], names[c.Name] = true, true
			if n := len(strings.Fields(c.Explain)); n < 25 || n > 150 {
				t.Errorf("%s: the explanation of %q has %d words", kind, c.Name, n)
			}
			if !slices.Contains(groups, c.Group) || c.Profile == "" {
				t.Errorf("%s: %q is of group %q and profile %q", kind, c.Name, c.Group, c.Profile)
			}
		}
	}
	for name := range explained {
		if !names[name] {
			t.Errorf("%q is explained, and there is no such check", name)
		}
	}
	if len(Checks("nonsense")) > 0 {
		t.Error("there are checks of a kind that there is not")
	}
}

// Run asks the plugin for its kind.
func TestRun(t *testing.T) {
	s := ringOf("0123456789abcdef", "")
	s.Only = []string{"wrap and unwrap"}
	kind, results, err := s.Run(t.Context())
	if kind != "keyprovider" || err != nil {
		t.Fatalf("Run: kind %q, %v", kind, err)
	}
	for r := range results {
		if !r.OK() || r.Group != "put and get" {
			t.Errorf("%+v", r)
		}
	}
	s.Path = "/nowhere"
	if _, _, err := s.Run(t.Context()); err == nil {
		t.Error("Run of a file that there is not: no error")
	}
}
