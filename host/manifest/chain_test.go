package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// without removes some of a list of backups.
func without(ms []Manifest, ids ...string) []Manifest {
	return slices.DeleteFunc(slices.Clone(ms), func(m Manifest) bool { return slices.Contains(ids, m.ID()) })
}

func idsOf(ms []Manifest) string {
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID())
	}
	return strings.Join(ids, " ")
}

var two = []Manifest{of("a", 1, 10), of("a", 2, 20), of("b", 1, 15), of("a", 3, 30), of("b", 2, 40), of("b", 3, 50)}

func TestChain(t *testing.T) {
	swapped := []Manifest{of("a", 2, 20), of("a", 1, 10), of("a", 3, 30)}
	reused := append(slices.Clone(two), of("a", 1, 60), of("a", 2, 70))
	for i, c := range []struct {
		all    []Manifest
		series string
		number int
		want   string
	}{
		{two, "", 0, "b/1 b/2 b/3"},
		{two, "", 2, "b/1 b/2"},
		{two, "a", 0, "a/1 a/2 a/3"},
		{two, "a", 1, "a/1"},
		{without(two, "a/3"), "a", 2, "a/1 a/2"}, // a gap behind the end does not matter
		{swapped, "", 0, "a/1 a/2 a/3"},          // numbers decide, as in 20.07 and later
		{reused, "a", 0, "a/1 a/2"},
	} {
		got, err := Chain(c.all, c.series, c.number)
		if err != nil || idsOf(got) != c.want {
			t.Errorf("case %d: %s, %v; want %s", i, idsOf(got), err, c.want)
		}
	}
	chain, _ := Chain(reused, "a", 0)
	if chain[0].ReadTs != 60 || chain[1].Since != 60 {
		t.Errorf("of a name that was used twice, %+v", chain)
	}
}

// Order decides, not the clock: Dgraph had series in which it went back.
func TestChainOfRegressedTimestamps(t *testing.T) {
	got, err := Chain([]Manifest{of("a", 1, 30), of("a", 2, 20)}, "", 0)
	if err != nil || idsOf(got) != "a/1 a/2" || got[1].Since != 30 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestChainRefuses(t *testing.T) {
	change := func(id string, f func(*Manifest)) []Manifest {
		ms := slices.Clone(two)
		for i := range ms {
			if ms[i].ID() == id {
				f(&ms[i])
			}
		}
		return ms
	}
	twin := of("b", 2, 41)
	twin.Path = "twin"
	recorded := of("b", 1, 16)
	recorded.Path, recorded.Record = "recorded", &Record{}
	many := []Manifest{}
	for i := range 30 {
		many = append(many, of(fmt.Sprintf("s%02d", i), 1, 10))
	}
	for name, c := range map[string]struct {
		all    []Manifest
		series string
		number int
		kind   error
		text   string
	}{
		"nothing there":        {nil, "", 0, ErrNoBackup, "there are none"},
		"an unknown series":    {two, "c", 0, ErrNoBackup, `series "c"; there are "b" (1 to 3), "a" (1 to 3)`},
		"one of many":          {many, "c", 0, ErrNoBackup, `"s29" (1), "s28" (1)`},
		"and no endless list":  {many, "c", 0, ErrNoBackup, `, 10 more`},
		"a number too high":    {two, "a", 4, ErrNoBackup, `series "a" holds 1 to 3, not 4`},
		"a number below 1":     {two, "a", -1, ErrNoBackup, `not -1`},
		"a number that lacks":  {without(two, "b/2"), "b", 2, ErrNoBackup, `holds 1, 3, not 2`},
		"a missing middle":     {without(two, "b/2"), "b", 0, ErrGap, `series "b": series has a gap: backup 1 is followed by 3`},
		"a missing beginning":  {without(two, "b/1"), "b", 0, ErrGap, `backup 1 is missing, the first one there is 2`},
		"two of one number":    {append(slices.Clone(two), twin), "b", 0, ErrCorrupt, `backup 2 is in directory "b-2" and in "twin"`},
		"two fulls, one ours":  {append(slices.Clone(two), recorded), "b", 0, ErrCorrupt, `backup 1 is in directory "b-1" and in "recorded"`},
		"kinds mixed":          {change("b/2", func(m *Manifest) { m.Kind = KindBadger }), "", 0, ErrCorrupt, "1 is of kind dgraph and 2 of kind badger"},
		"encryption mixed":     {change("b/3", func(m *Manifest) { m.Encrypted = true }), "", 0, ErrCorrupt, "backup 2 is plain and 3 is encrypted"},
		"a full in the middle": {change("b/3", func(m *Manifest) { m.Full = true }), "", 0, ErrCorrupt, "only the first"},
		"no full":              {change("b/1", func(m *Manifest) { m.Full = false }), "", 0, ErrCorrupt, "nothing comes before"},
		"no read timestamp":    {change("b/2", func(m *Manifest) { m.ReadTs = 0 }), "", 0, ErrCorrupt, "backup 2: corrupt manifest: it has no read timestamp"},
		"no groups":            {change("b/2", func(m *Manifest) { m.Groups = nil }), "", 0, ErrCorrupt, "no groups"},
		"no number":            {[]Manifest{of("b", 0, 1)}, "", 0, ErrCorrupt, "backup_num is 0"},
		"no series":            {[]Manifest{of("", 1, 1)}, "", 0, ErrCorrupt, "backup_id is empty"},
		"changes that lack": {
			change("b/2", func(m *Manifest) { m.Record, m.Since = &Record{}, 17 }),
			"", 0, ErrGap, "backup 2 holds what changed after 17, and backup 1 ends at 15",
		},
	} {
		got, err := Chain(c.all, c.series, c.number)
		if !errors.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %s, %v; want %q", name, idsOf(got), err, c.text)
		}
	}
}

func TestChainRefusesTwoKeys(t *testing.T) {
	ms := []Manifest{of("a", 1, 10), of("a", 2, 20)}
	for i, key := range []string{"aa", "bb"} {
		ms[i].Encrypted, ms[i].Record, ms[i].Since = true, &Record{KeyCheck: key}, uint64(10*i)
	}
	if _, err := Chain(ms, "", 0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "key aa and 2 with bb") {
		t.Errorf("got %v", err)
	}
}

func TestLatest(t *testing.T) {
	if m := Latest(two); m == nil || m.ID() != "b/3" {
		t.Errorf("got %v", m)
	}
	if m := Latest(nil); m != nil {
		t.Errorf("of nothing: %v", m)
	}
}
