package doctor

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestBenchMeasuresAndCleansUp(t *testing.T) {
	m := sdktest.NewMemory()
	tr := sdktest.NewTrace(m)
	phases, err := Bench(t.Context(), tr, Load{Objects: 3, Size: 1<<20 + 1, Parallel: 2, Moved: func(string, int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range phases {
		got = append(got, p.Name)
		if p.Objects != 3 || p.PluginCPU >= 0 {
			t.Errorf("%+v: want 3 objects, and no CPU time of a plugin that is unknown", p)
		}
	}
	if want := "put list get delete"; strings.Join(got, " ") != want {
		t.Errorf("phases %v, want %s", got, want)
	}
	if p := phases[2]; p.Bytes != 3*(1<<20+1) {
		t.Errorf("get read %d bytes", p.Bytes)
	}
	if names := left(t, m); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestBenchThatIsCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &mutant{Memory: sdktest.NewMemory()}
	n := 0
	m.put = func(ctx context.Context, name string, r io.Reader) error {
		if n++; n == 3 {
			cancel()
			return ctx.Err()
		}
		return m.Memory.Put(ctx, name, r)
	}
	if _, err := Bench(ctx, m, Load{Objects: 9, Size: 10, Parallel: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Bench: %v, want context.Canceled", err)
	}
	if names := left(t, m.Memory); n < 3 || len(names) != 0 {
		t.Errorf("after %d puts, left behind: %v", n, names)
	}

	m.put = nil
	m.get = func(context.Context, string, int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("short")), nil
	}
	if _, err := Bench(t.Context(), m, Load{Objects: 2, Size: 10, Parallel: 1}); err == nil || !strings.Contains(err.Error(), "5 bytes came back of 10") {
		t.Errorf("Bench of a destination that loses bytes: %v", err)
	}
	m.delete = func(context.Context, string) error { return sdk.ErrUnavailable }
	if _, err := Bench(t.Context(), m, Load{Objects: 2, Size: 10, Parallel: 1}); err == nil || !strings.Contains(err.Error(), "left behind") {
		t.Errorf("Bench that cannot clean up: %v", err)
	}
}
