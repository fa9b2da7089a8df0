package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// slots are the moments of a schedule.
//
// What names its hours means the clock on the wall: a moment that daylight saving leaves
// out is that of the change, and one that comes twice counts once. What means every
// hour comes every hour, whatever is done to the clock.
type slots struct {
	spec  *cron.SpecSchedule // in UTC, as which wall clocks are taken
	wall  bool
	loc   *time.Location // nil: that of the host
	every time.Duration  // instead of spec: multiples since the beginning of time
}

// starBit is what package cron sets in a field that is *.
const starBit = 1 << 63

// parseCron understands five fields, @hourly and the like, and @every.
func parseCron(text string) (slots, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return slots{}, errors.New("there is none; \"0 * * * *\" is every hour")
	}
	if strings.Contains(strings.Fields(text)[0], "TZ=") && len(strings.Fields(text)) == 1 {
		return slots{}, errors.New("a time zone, and no times")
	}
	parsed, err := cron.ParseStandard(sundays(text))
	if err != nil {
		return slots{}, fmt.Errorf("%w; five fields are wanted: minute, hour, day of the month, month, day of the week", err)
	}
	var s slots
	switch v := parsed.(type) {
	case cron.ConstantDelaySchedule:
		if v.Delay < time.Minute {
			return slots{}, errors.New("more often than every minute")
		}
		s.every = v.Delay
	case *cron.SpecSchedule:
		if v.Location != time.Local {
			s.loc = v.Location
		}
		spec := *v
		spec.Location = time.UTC
		s.spec, s.wall = &spec, v.Hour&starBit == 0
	}
	if s.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return slots{}, errors.New("that day never comes")
	}
	return s, nil
}

// toSunday is a day, or a range of days, that ends with Sunday as 7.
var toSunday = regexp.MustCompile(`^(?:([0-7])-)?7(?:/([1-9]))?$`)

// sundays writes 0 for the Sundays that are 7 to crontab, and not to package cron.
func sundays(text string) string {
	at := strings.LastIndexAny(text, " \t") + 1
	days := strings.Split(text[at:], ",")
	for i, day := range days {
		m := toSunday.FindStringSubmatch(day)
		if m == nil {
			continue
		}
		from, _ := strconv.Atoi(cmp.Or(m[1], "7"))
		step, _ := strconv.Atoi(cmp.Or(m[2], "1"))
		var each []string
		for d := from; d <= 7; d += step {
			each = append(each, strconv.Itoa(d%7))
		}
		days[i] = strings.Join(each, ",")
	}
	return text[:at] + strings.Join(days, ",")
}

// next returns the first slot after t, or zero if there is none for years.
func (s slots) next(t time.Time) time.Time {
	if s.every > 0 {
		return t.Round(0).Truncate(s.every).Add(s.every)
	}
	if s.loc != nil {
		t = t.In(s.loc)
	}
	if !s.wall {
		return s.everyHour(t)
	}
	for wall := asUTC(t); ; {
		if wall = s.spec.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := onWall(wall, t.Location()); at.After(t) {
			return at
		}
	}
}

// everyHour is next where every hour is meant: between two changes of a clock it runs like
// that of UTC. On a day without a midnight package cron itself leaves out the day.
func (s slots) everyHour(t time.Time) time.Time {
	for from := asUTC(t); ; from = asUTC(t).Add(-time.Nanosecond) {
		wall := s.spec.Next(from)
		if wall.IsZero() {
			return time.Time{}
		}
		_, end := t.ZoneBounds()
		_, offset := t.Zone()
		if at := time.Unix(wall.Unix()-int64(offset), 0).In(t.Location()); end.IsZero() || at.Before(end) {
			return at
		}
		t = end
	}
}

// last returns the latest slot that is not after t, or zero if there was none for years.
func (s slots) last(t time.Time) time.Time {
	if s.every > 0 {
		return t.Round(0).Truncate(s.every)
	}
	const day = 24 * time.Hour
	for _, window := range []time.Duration{time.Hour, 2 * day, 8 * day, 32 * day, 367 * day, 5 * 366 * day} {
		at := s.next(t.Add(-window))
		if at.IsZero() || at.After(t) {
			continue
		}
		for {
			next := s.next(at)
			if next.IsZero() || next.After(t) {
				return at
			}
			at = next
		}
	}
	return time.Time{}
}

// count returns how many slots are after a and not after b, up to a limit.
func (s slots) count(a, b time.Time) int {
	const limit = 10000
	n := 0
	for at := s.next(a); !at.IsZero() && !at.After(b) && n < limit; at = s.next(at) {
		n++
	}
	return n
}

// shortest returns the shortest time between some of the slots that follow t.
func (s slots) shortest(t time.Time) time.Duration {
	gap := 5 * 366 * 24 * time.Hour
	at := s.next(t)
	for range 50 {
		next := s.next(at)
		if next.IsZero() {
			break
		}
		gap = min(gap, next.Sub(at))
		at = next
	}
	return gap
}

// asUTC returns the moment at which UTC's clock shows what t's does.
func asUTC(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// onWall returns the first moment at which the clock of loc shows wall, or where it never
// does the moment at which it skips it.
func onWall(wall time.Time, loc *time.Location) time.Time {
	y, m, d := wall.Date()
	at := time.Date(y, m, d, wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	start, end := at.ZoneBounds()
	switch shown := asUTC(at); {
	case shown.Before(wall):
		return end
	case shown.After(wall):
		return start
	}
	if !start.IsZero() { // the zone before may have shown it as well
		_, offset := start.Add(-time.Second).Zone()
		if earlier := time.Unix(wall.Unix()-int64(offset), 0).In(loc); earlier.Before(start) && asUTC(earlier).Equal(wall) {
			return earlier
		}
	}
	return at
}
