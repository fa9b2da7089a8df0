package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/manifest"
)

func TestKeepRules(t *testing.T) {
	var taken []time.Time
	for _, text := range []string{
		"2024-12-30T12:00:00Z", // 0, a Monday of ISO week 1 of 2025
		"2025-01-01T12:00:00Z", // 1
		"2025-11-20T12:00:00Z", // 2
		"2025-12-31T23:59:59Z", // 3
		"2026-01-01T00:00:00Z", // 4
		"2026-01-01T00:30:00Z", // 5
		"2026-01-04T09:00:00Z", // 6, a Sunday
		"2026-01-05T09:00:00Z", // 7, a Monday
		"2026-01-05T09:59:00Z", // 8
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, at)
	}
	now := taken[8].Add(time.Minute)
	for _, tt := range []struct {
		rules KeepRules
		want  string
	}{
		{KeepRules{}, ""},
		{KeepRules{Last: 1}, "8:last"},
		{KeepRules{Last: 100}, "0:last 1:last 2:last 3:last 4:last 5:last 6:last 7:last 8:last"},
		{KeepRules{Hourly: 3}, "5:hourly 6:hourly 8:hourly"},
		{KeepRules{Daily: 4}, "3:daily 5:daily 6:daily 8:daily"},
		{KeepRules{Weekly: 2}, "6:weekly 8:weekly"},
		{KeepRules{Weekly: 9}, "1:weekly 2:weekly 6:weekly 8:weekly"}, // 0 and 1 are one week of two years
		{KeepRules{Monthly: 3}, "2:monthly 3:monthly 8:monthly"},
		{KeepRules{Yearly: 9}, "0:yearly 3:yearly 8:yearly"},
		{KeepRules{Within: time.Hour}, "7:within 8:within"},
		{KeepRules{Within: 59 * time.Minute}, "7:within 8:within"},
		{KeepRules{Within: 58 * time.Minute}, "8:within"},
		{KeepRules{Last: 2, Daily: 2, Yearly: 1}, "6:daily 7:last 8:last,daily,yearly"},
	} {
		if got := told(tt.rules.pick(taken, now)); got != tt.want {
			t.Errorf("%+v picks %q, want %q", tt.rules, got, tt.want)
		}
	}
}

// told writes down what rules picked.
func told(picked [][]string) string {
	var texts []string
	for i, rules := range picked {
		if len(rules) > 0 {
			texts = append(texts, fmt.Sprintf("%d:%s", i, strings.Join(rules, ",")))
		}
	}
	return strings.Join(texts, " ")
}

// A clock that was ahead once makes nothing old, and one that went back no difference.
func TestKeepRulesWithWrongClocks(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }
	ahead := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		rules KeepRules
		taken []time.Time
		want  string
	}{
		{KeepRules{Within: 48 * time.Hour}, []time.Time{day(1), ahead, day(9), day(10)}, "1:within 2:within 3:within"},
		{KeepRules{Last: 2}, []time.Time{day(1), ahead, day(9), day(10)}, "2:last 3:last"},
		{KeepRules{Daily: 2}, []time.Time{day(1), day(9), day(2), day(9)}, "2:daily 3:daily"},
		{KeepRules{Daily: 5, Within: time.Hour}, []time.Time{{}, day(9)}, "1:daily,within"}, // of one nobody knows when
	} {
		if got := told(tt.rules.pick(tt.taken, day(10))); got != tt.want {
			t.Errorf("%+v picks %q, want %q", tt.rules, got, tt.want)
		}
	}
}

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30d": 30 * day, "4w": 28 * day, "2y": 730 * day, "12h": 12 * time.Hour, "90m": 90 * time.Minute,
		"": 0, "0d": 0, "-1h": 0, "1": 0, "d": 0, "1.5d": 0, "soon": 0, "100000d": 0,
	} {
		if got, err := ParseAge(text); got != want || (err == nil) != (want > 0) || err != nil && !IsUsage(err) {
			t.Errorf("ParseAge(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := ParseAge("99999y"); err != nil || got < 290*365*day {
		t.Errorf("%v, %v; want very long", got, err)
	}
}

func TestKeepRulesThatMeanNothing(t *testing.T) {
	for _, k := range []KeepRules{{Last: -1}, {Hourly: -1}, {Daily: -1}, {Weekly: -1}, {Monthly: -1}, {Yearly: -1}, {Within: -1}} {
		if _, err := new(Engine).Prune(t.Context(), PruneRequest{Rules: k}); !IsUsage(err) {
			t.Errorf("%+v: %v; want a usage error", k, err)
		}
	}
	if err := (KeepRules{}).Check(); err != nil || (KeepRules{}).Given() || !(KeepRules{Within: 1}).Given() {
		t.Errorf("no rules: %v", err)
	}
}

// naivePick says whether a rule picks backup i, in another way than pick does: it counts the
// periods from there to the end.
func naivePick(period func(int) string, count, i, n int) bool {
	seen := map[string]bool{}
	for j := i; j < n; j++ {
		if j > i && period(j) != "" && period(j) == period(i) {
			return false // not the last of its period
		}
		if period(j) != "" {
			seen[period(j)] = true
		}
	}
	return period(i) != "" && len(seen) <= count
}

// naiveStays says whether any rule picks backup i among those of which one can be restored.
func naiveStays(k KeepRules, taken []time.Time, i int, now time.Time) bool {
	n := len(taken)
	by := func(layout string) func(int) string {
		return func(j int) string {
			if taken[j].IsZero() {
				return ""
			}
			return taken[j].Format(layout)
		}
	}
	week := func(j int) string {
		if taken[j].IsZero() {
			return ""
		}
		monday := taken[j].AddDate(0, 0, -(int(taken[j].Weekday())+6)%7)
		return monday.Format("2006-01-02")
	}
	latest := time.Time{}
	for _, at := range taken {
		if !at.After(now) && at.After(latest) {
			latest = at
		}
	}
	return i >= n-k.Last || naivePick(by("2006010215"), k.Hourly, i, n) || naivePick(by("20060102"), k.Daily, i, n) ||
		naivePick(week, k.Weekly, i, n) || naivePick(by("200601"), k.Monthly, i, n) || naivePick(by("2006"), k.Yearly, i, n) ||
		k.Within > 0 && !taken[i].IsZero() && latest.Sub(taken[i]) <= k.Within
}

// aLocation makes a catalogue of random series, some of whose objects are lost.
func aLocation(r *rand.Rand, now time.Time) *catalogue {
	c := &catalogue{sizes: map[string]int64{}, pins: map[string]*manifest.Pin{}}
	at := now.Add(-time.Duration(r.IntN(20000)) * time.Hour)
	ts := uint64(1)
	for s := range r.IntN(8) {
		series := fmt.Sprintf("s%d", s)
		size := 1 + r.IntN(6)
		for n := range size {
			m := manifest.Manifest{
				Series: series, Number: n + 1, Full: n == 0, Since: ts - 1, ReadTs: ts, Path: fmt.Sprintf("d%d", ts), Kind: manifest.KindDgraph,
				Groups: map[uint32][]dgraph.Predicate{1: nil}, Record: &manifest.Record{Created: at},
			}
			if r.IntN(40) == 0 {
				m.Record.Created = time.Time{}
			}
			for _, name := range []string{m.Object(1), m.Seal(1)} {
				if r.IntN(30) > 0 {
					c.sizes[name] = 1
				}
			}
			c.all = append(c.all, m)
			ts++
			at = at.Add(time.Duration(r.ExpFloat64() * float64([]time.Duration{time.Hour, 24 * time.Hour, 700 * time.Hour}[r.IntN(3)])))
		}
		if r.IntN(10) == 0 {
			c.pins[manifest.PinName(series, r.IntN(size+1))] = nil
		}
	}
	return c
}

// What stays is what a naive reading of the rules says, and never less than what must.
func TestPruneJudgesAsTheModelDoes(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	gone, stayed := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 11))
		c := aLocation(r, now)
		few := func() int { return max(0, r.IntN(8)-3) }
		rules := KeepRules{few(), few(), few(), few(), few(), few(), time.Duration(few()) * 200 * time.Hour}
		if !rules.Given() {
			continue
		}
		whole := func(m *manifest.Manifest) bool {
			for i := range c.all {
				if o := &c.all[i]; o.Series == m.Series && o.Number <= m.Number && len(c.missing(o)) > 0 {
					return false
				}
			}
			return true
		}
		var all, good []time.Time
		place := map[string]int{} // of those that can be restored
		for i := range c.all {
			m := &c.all[i]
			all = append(all, m.Taken())
			if whole(m) {
				place[m.ID()] = len(good)
				good = append(good, m.Taken())
			}
		}
		must := map[string]bool{}
		lastGood := -1
		for i := range c.all {
			m := &c.all[i]
			at, ok := place[m.ID()]
			_, pinned := c.pins[manifest.PinName(m.Series, m.Number)]
			_, series := c.pins[manifest.PinName(m.Series, 0)]
			end := i+1 == len(c.all) || c.all[i+1].Series != m.Series
			if ok && naiveStays(rules, good, at, now) || naiveStays(rules, all, i, now) || pinned || series || i+1 == len(c.all) || end && m.Taken().IsZero() {
				must[m.Series] = true
			}
			if end && ok {
				lastGood = i
			}
		}
		for i := range c.all { // the latest series that can be restored, and what comes after it; all if there is none
			if lastGood < 0 || i >= lastGood {
				must[c.all[i].Series] = true
			}
		}
		for _, v := range c.judge(PruneRequest{Rules: rules}, now) {
			if id := v.last().Series; v.stays() != must[id] {
				t.Fatalf("seed %d: series %s stays: %v, for %v and %v; want %v by %+v", seed, id, v.stays(), v.reasons, v.picked, must[id], rules)
			}
			if v.stays() {
				stayed++
			} else {
				gone++
			}
		}
		if !slices.ContainsFunc(c.judge(PruneRequest{Rules: rules}, now), (*verdict).stays) && len(c.all) > 0 {
			t.Fatalf("seed %d: nothing stays", seed)
		}
	}
	t.Logf("%d series stayed, %d went", stayed, gone)
	if gone < 500 || stayed < 500 {
		t.Errorf("%d series stayed, %d went: that tells little", stayed, gone)
	}
}

// Where a clock was behind, an incremental backup may come before its full one, and belongs
// to it all the same; of two series of one name, to the one before it.
func TestPruneGroupsSeries(t *testing.T) {
	c := &catalogue{}
	for _, b := range []struct {
		series string
		number int
	}{{"orphan", 3}, {"late", 2}, {"twice", 1}, {"twice", 2}, {"late", 1}, {"twice", 1}, {"twice", 2}, {"orphan", 4}} {
		c.all = append(c.all, manifest.Manifest{Series: b.series, Number: b.number, Full: b.number == 1})
	}
	var got []string
	for _, v := range c.grouped() {
		text := v.last().Series
		for _, m := range v.backups {
			text += fmt.Sprintf(" %d", m.Number)
		}
		got = append(got, text)
	}
	if want := []string{"orphan 3 4", "twice 1 2", "late 1 2", "twice 1 2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
