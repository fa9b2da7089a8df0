//go:build unix

package launch

import (
	"errors"
	"slices"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// What a plugin found out arrives whole, but for what nobody may see, and outlives
// the process that was asked first.
func TestReportArrives(t *testing.T) {
	t.Parallel()
	w := supervise(t, "able")
	d := w.open(t, map[string]any{"token": sdk.NewSecret(canary)})
	want := []sdk.Finding{
		{Name: "credentials", Detail: "token [secret]", Hint: "hide [secret]"},
		{Name: "region", Detail: "b\uFFFDd", Problem: true},
	}
	for range 2 {
		got, err := d.(sdk.Reporter).Report(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Report = %+v, %v; want %+v", got, err, want)
		}
		w.kill()
	}
	d = w.open(t, map[string]any{"uri": "mem://nothing"})
	if _, err := d.(sdk.Reporter).Report(t.Context()); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("Report of nothing: %v; want ErrUnavailable", err)
	}
}

// The variables that a plugin names are told before anything is opened.
func TestVariablesAreTold(t *testing.T) {
	t.Parallel()
	p := start(t, "memory", Options{})
	if got := p.Description().Env; !slices.Equal(got, []string{"MEMORY_TRACE"}) {
		t.Errorf("it reads %q", got)
	}
}
