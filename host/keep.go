package host

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// KeepRules say which backups stay, as restic's do: each rule goes from the latest
// backup back, and a backup stays if one rule picks it. Hourly picks the last backup of
// each of so many hours that have one, and so on: an hour without a backup does not count.
// Hours, days, ISO weeks, months and years are those of UTC, so that every machine
// decides alike. A rule that is 0 picks nothing.
type KeepRules struct {
	Last    int
	Hourly  int
	Daily   int
	Weekly  int
	Monthly int
	Yearly  int
	Within  time.Duration // everything that is not older than the latest backup by more than this
}

// Given reports whether there is any rule.
func (k KeepRules) Given() bool { return k != KeepRules{} }

// Check refuses rules that mean nothing.
func (k KeepRules) Check() error {
	for _, r := range k.counted() {
		if r.count < 0 {
			return usage("a rule is a number of backups, hours, days, weeks, months or years", "keep-%s %d", r.name, r.count)
		}
	}
	if k.Within < 0 {
		return usage("an age is a number of days or hours, as in 30d or 12h", "keep-within %s", k.Within)
	}
	return nil
}

// A countedRule picks the last backup of each of count periods.
type countedRule struct {
	name   string
	count  int
	period func(time.Time) string // the same for two times in one period; nil: each backup is one
}

func (k KeepRules) counted() []countedRule {
	in := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.UTC().Format(layout) }
	}
	week := func(t time.Time) string {
		year, week := t.UTC().ISOWeek()
		return fmt.Sprintf("%d-%d", year, week)
	}
	return []countedRule{
		{"last", k.Last, nil},
		{"hourly", k.Hourly, in("2006-01-02 15")},
		{"daily", k.Daily, in("2006-01-02")},
		{"weekly", k.Weekly, week},
		{"monthly", k.Monthly, in("2006-01")},
		{"yearly", k.Yearly, in("2006")},
	}
}

// pick returns for each backup, oldest first, the names of the rules that pick it. The zero
// time is one that nobody knows. A clock that was ahead once does not make others old:
// what Within counts from is not later than now.
func (k KeepRules) pick(taken []time.Time, now time.Time) [][]string {
	picked := make([][]string, len(taken))
	for _, r := range k.counted() {
		seen := map[string]bool{}
		for i, t := range slices.Backward(taken) {
			period := strconv.Itoa(i)
			if r.period != nil && t.IsZero() {
				continue
			} else if r.period != nil {
				period = r.period(t)
			}
			if len(seen) < r.count && !seen[period] {
				seen[period] = true
				picked[i] = append(picked[i], r.name)
			}
		}
	}
	if k.Within == 0 {
		return picked
	}
	var latest time.Time
	for _, t := range taken {
		if t.After(latest) && !t.After(now) {
			latest = t
		}
	}
	for i, t := range taken {
		if !t.IsZero() && !t.Before(latest.Add(-k.Within)) {
			picked[i] = append(picked[i], "within")
		}
	}
	return picked
}

// pickAmong is pick for backups of which some cannot be restored. These take nobody's
// place, and stay themselves where they would if they were whole: a lost object may
// be brought back.
func (k KeepRules) pickAmong(taken []time.Time, good []bool, now time.Time) [][]string {
	picked := k.pick(taken, now)
	var whole []time.Time
	var at []int
	for i, ok := range good {
		if ok {
			whole, at = append(whole, taken[i]), append(at, i)
		}
	}
	for j, rules := range k.pick(whole, now) {
		picked[at[j]] = rules // more than before: fewer were in the way
	}
	return picked
}

var (
	longAge = regexp.MustCompile(`^([0-9]{1,5})([dwy])$`)
	ages    = map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour}
)

// ParseAge reads an age: a number of days, weeks or years of 365 days, as in 30d, 4w and
// 2y, or whatever [time.ParseDuration] reads. It is more than 0.
func ParseAge(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if m := longAge.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // five digits at most
		d, err = time.Duration(min(n, int(math.MaxInt64/ages[m[2]])))*ages[m[2]], nil
	}
	if err != nil || d <= 0 {
		return 0, usage("an age is a number of days or hours, as in 30d or 12h", "%s is no age", s)
	}
	return d, nil
}
