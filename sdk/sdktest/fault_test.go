package sdktest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/conformance"
)

// Memory passes the whole kit, also behind a Fault that does not fail and a
// Trace.
func TestKitPasses(t *testing.T) {
	for name, d := range map[string]sdk.Destination{
		"Memory": NewMemory(),
		"Fault":  NewFault(NewMemory()),
		"Trace":  NewTrace(NewMemory()),
	} {
		t.Run(name, func(t *testing.T) { report(t, conformance.CheckDestination(t.Context(), d)) })
	}
}

// story does one of everything, and stops at the first error.
func story(t *testing.T, d interface {
	sdk.Destination
	sdk.Replacer
},
) error {
	t.Helper()
	if err := d.Put(t.Context(), "a", strings.NewReader("content")); err != nil {
		return err
	}
	v, err := d.Version(t.Context(), "b")
	if err != nil {
		return err
	}
	if _, err := d.Replace(t.Context(), "b", strings.NewReader("other"), v); err != nil {
		return err
	}
	for _, err := range d.List(t.Context(), "") {
		if err != nil {
			return err
		}
	}
	r, err := d.Get(t.Context(), "a", 3)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err != nil {
		return err
	}
	return d.Delete(t.Context(), "a")
}

// Every moment can fail, and what fails has done nothing.
func TestFaultAtEveryMoment(t *testing.T) {
	f := NewFault(NewMemory())
	if err := story(t, f); err != nil {
		t.Fatal(err)
	}
	const moments = 2 + 1 + 2 + 2 + 2 + 1
	if f.Count() != moments {
		t.Fatalf("%d moments, want %d", f.Count(), moments)
	}
	wants := []string{"", "", "a", "a", "a", "a b", "a b", "a b", "a b", "a b"}
	broken := errors.New("broken")
	for n := 1; n <= moments; n++ {
		m := NewMemory()
		f := NewFault(m)
		f.FailAt(n, broken)
		if err := story(t, f); !errors.Is(err, broken) {
			t.Errorf("failure at moment %d: %v, want it", n, err)
		}
		if f.Count() != n {
			t.Errorf("failure at moment %d: %d moments", n, f.Count())
		}
		if got := allNames(t, m); got != wants[n-1] {
			t.Errorf("failure at moment %d leaves %q, want %q", n, got, wants[n-1])
		}
	}
}

// A lost answer is an error of something that was done.
func TestFaultLosesAnAnswer(t *testing.T) {
	lost := errors.New("lost")
	for n, want := range map[int]string{1: "a", 4: "a b", 10: "b"} {
		m := NewMemory()
		f := NewFault(m)
		f.LoseAt(n, lost)
		if err := story(t, f); !errors.Is(err, lost) {
			t.Errorf("lost answer of moment %d: %v, want it", n, err)
		}
		if got := allNames(t, m); got != want {
			t.Errorf("lost answer of moment %d leaves %q, want %q", n, got, want)
		}
	}
}

func TestTraceLines(t *testing.T) {
	tr := NewTrace(NewMemory())
	if err := story(t, tr); err != nil {
		t.Fatal(err)
	}
	_, _ = tr.Get(t.Context(), "gone", 0)
	want := []string{
		"put a 7", "version b", "replace b 5", "list ", "get a @3", "delete a", "get gone: gone: file does not exist",
	}
	if got := tr.Lines(); !slices.Equal(got, want) {
		t.Errorf("Lines = %q\nwant    %q", got, want)
	}
	tr.Reset()
	if got := tr.Lines(); len(got) != 0 {
		t.Errorf("after Reset, Lines = %q", got)
	}
}

// A clone is what is there if everything ends now.
func TestMemoryClone(t *testing.T) {
	m := NewMemory()
	m.Set("a", []byte("old"))
	c := m.Clone()
	m.Set("a", []byte("new"))
	m.Set("b", nil)
	if got := allNames(t, c); got != "a" || !bytes.Equal(c.Bytes("a"), []byte("old")) {
		t.Errorf("the clone has %q, with a = %q", got, c.Bytes("a"))
	}
}

func allNames(t *testing.T, d sdk.Destination) string {
	t.Helper()
	var names []string
	for o, err := range d.List(t.Context(), "") {
		if err != nil {
			t.Error(err)
		}
		names = append(names, o.Name)
	}
	return strings.Join(names, " ")
}
