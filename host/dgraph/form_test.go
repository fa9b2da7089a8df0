package dgraph

import (
	"errors"
	"testing"
)

const ns0 = "\x00\x00\x00\x00\x00\x00\x00\x00"

func TestNamesOfEachForm(t *testing.T) {
	for _, c := range []struct {
		p             Predicate
		v20, v21, v23 string // "" where the form cannot hold it
	}{
		{Predicate{0, "name"}, "name", ns0 + "name", "0-name"},
		{Predicate{0, "a-b"}, "a-b", ns0 + "a-b", "0-a-b"},
		{Predicate{0x1f, "name"}, "", "\x00\x00\x00\x00\x00\x00\x00\x1fname", "1f-name"},
		{Predicate{0x80, "name"}, "", "", "80-name"},
		{Predicate{1<<64 - 1, "~x"}, "", "", "ffffffffffffffff-~x"},
		{Predicate{0x7f00000000000001, "x"}, "", "\x7f\x00\x00\x00\x00\x00\x00\x01x", "7f00000000000001-x"},
	} {
		for f, want := range map[Form]string{FormV20: c.v20, FormV21: c.v21, FormV23: c.v23} {
			got, err := c.p.Format(f)
			if want == "" {
				if !errors.Is(err, ErrForm) {
					t.Errorf("%s.Format(%s) = %q, %v; want ErrForm", c.p, f, got, err)
				}
				continue
			}
			if err != nil || got != want {
				t.Errorf("%s.Format(%s) = %q, %v; want %q", c.p, f, got, err, want)
			}
			if p, err := ParsePredicate(f, want); err != nil || p != c.p {
				t.Errorf("ParsePredicate(%s, %q) = %v, %v; want %v", f, want, p, err, c.p)
			}
		}
	}
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	for _, c := range []struct {
		f Form
		s string
	}{
		{FormV20, ""},
		{FormV21, ""},
		{FormV21, "name"},
		{FormV21, ns0},
		{FormV21, "\x00\x00\x00\x00\x00\x00\x00�name"}, // what JSON makes of namespace 0x80
		{FormV21, "\x00\x00\x00\x00\x00\x00\x00\x80name"},
		{FormV23, ""},
		{FormV23, "name"},
		{FormV23, "-name"},
		{FormV23, "0-"},
		{FormV23, "g-name"},
		{FormV23, "+1-name"},
		{FormV23, "10000000000000000-name"},
		{Form(1), "name"},
	} {
		if p, err := ParsePredicate(c.f, c.s); !errors.Is(err, ErrForm) {
			t.Errorf("ParsePredicate(%s, %q) = %v, %v; want ErrForm", c.f, c.s, p, err)
		}
	}
	if s, err := name.Format(Form(1)); !errors.Is(err, ErrForm) {
		t.Errorf("Format(1) = %q, %v; want ErrForm", s, err)
	}
}

func TestReservedNames(t *testing.T) {
	for s, want := range map[string]bool{"dgraph.type": true, "dgraph": false, "name": false, "xdgraph.": false} {
		if got := (Predicate{Name: s}).Reserved(); got != want {
			t.Errorf("%q.Reserved() = %t; want %t", s, got, want)
		}
	}
}
