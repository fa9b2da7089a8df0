package schedule

import (
	"strings"
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustCron(t *testing.T, text string) slots {
	t.Helper()
	s, err := parseCron(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSlotsWhenClocksChange(t *testing.T) {
	const form = "02 15:04 MST"
	for _, c := range []struct{ cron, zone, from, want string }{
		// At 2:00 in Berlin the clock is set to 3:00.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", "28 02:30 CET, 29 03:00 CEST, 30 02:30 CEST"},
		{"0,30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00", "29 03:00 CEST, 29 03:30 CEST, 30 02:00 CEST"},
		{"0 * * * *", "Europe/Berlin", "2026-03-29 00:30", "29 01:00 CET, 29 03:00 CEST, 29 04:00 CEST"},
		{"15 */2 * * *", "Europe/Berlin", "2026-03-29 00:20", "29 03:00 CEST, 29 04:15 CEST, 29 06:15 CEST"},
		// At 3:00 it is set to 2:00.
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "25 02:30 CEST, 26 02:30 CET, 27 02:30 CET"},
		{"0 * * * *", "Europe/Berlin", "2026-10-25 01:30", "25 02:00 CEST, 25 02:00 CET, 25 03:00 CET"},
		{"*/20 2 * * *", "Europe/Berlin", "2026-10-25 01:50", "25 02:00 CEST, 25 02:20 CEST, 25 02:40 CEST"},
		{"30 1 * * sun", "America/New_York", "2026-10-31 00:00", "01 01:30 EDT, 08 01:30 EST, 15 01:30 EST"},
		{"30 2 * * sun", "America/New_York", "2026-03-07 00:00", "08 03:00 EDT, 15 02:30 EDT, 22 02:30 EDT"},
		// There the day begins at 1:00.
		{"@daily", "America/Santiago", "2026-09-05 12:00", "06 01:00 -03, 07 00:00 -03, 08 00:00 -03"},
		{"30 * * * sun", "Asia/Beirut", "2026-03-28 12:00", "29 01:30 EEST, 29 02:30 EEST, 29 03:30 EEST"},
		{"@weekly", "America/Santiago", "2026-09-05 12:00", "06 01:00 -03, 13 00:00 -03, 20 00:00 -03"},
		{"TZ=Asia/Tokyo 0 9 * * *", "Europe/Berlin", "2026-03-28 00:00", "28 09:00 JST, 29 09:00 JST, 30 09:00 JST"},
		// Sunday is 0 and 7.
		{"0 9 * * 7", "UTC", "2026-03-28 00:00", "29 09:00 UTC, 05 09:00 UTC, 12 09:00 UTC"},
		{"0 9 * * 1,5-7", "UTC", "2026-03-28 10:00", "29 09:00 UTC, 30 09:00 UTC, 03 09:00 UTC"},
		{"TZ=UTC 0 9 * * 1-7/3", "UTC", "2026-03-28 10:00", "29 09:00 UTC, 30 09:00 UTC, 02 09:00 UTC"},
		{"@every 8h", "UTC", "2026-03-28 00:00", "28 08:00 UTC, 28 16:00 UTC, 29 00:00 UTC"},
		{"0 0 29 2 *", "UTC", "2026-03-28 00:00", "29 00:00 UTC, 29 00:00 UTC, 29 00:00 UTC"},
	} {
		s := mustCron(t, c.cron)
		at, err := time.ParseInLocation("2006-01-02 15:04", c.from, zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 3 {
			before := at
			at = s.next(at)
			got = append(got, at.Format(form))
			if last := s.last(at); !last.Equal(at) {
				t.Errorf("%s: at %v the last slot is %v", c.cron, at, last)
			}
			if last := s.last(at.Add(-time.Nanosecond)); last.After(before) || last.IsZero() {
				t.Errorf("%s: just before %v the last slot is %v; want none after %v", c.cron, at, last, before)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s in %s:\n got %s\nwant %s", c.cron, c.zone, text, c.want)
		}
	}
}

// Whatever is done to the clock, every hour is every hour, and a day has one night.
func TestNoSlotIsLostInAYear(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		loc := zone(t, name)
		for cron, want := range map[string]struct {
			n        int
			min, max time.Duration
		}{
			"5 * * * *":    {365 * 24, 30 * time.Minute, 90 * time.Minute},
			"30 2 * * *":   {365, 22 * time.Hour, 26 * time.Hour},
			"30 0 * * *":   {365, 22 * time.Hour, 26 * time.Hour},
			"15 1 * * sun": {52, 7*24*time.Hour - 2*time.Hour, 7*24*time.Hour + 2*time.Hour},
		} {
			s := mustCron(t, cron)
			at := s.next(time.Date(2026, 1, 1, 0, 0, 0, 0, loc).Add(-time.Second))
			n := 0
			for ; at.Year() == 2026; n++ {
				next := s.next(at)
				if gap := next.Sub(at); gap < want.min || gap > want.max {
					t.Errorf("%s, %s: %v after %v", name, cron, gap, at)
				}
				at = next
			}
			if n < want.n-1 || n > want.n+1 {
				t.Errorf("%s, %s: %d slots in 2026; want %d", name, cron, n, want.n)
			}
		}
	}
}

func TestCronThatIsNone(t *testing.T) {
	for _, text := range []string{"", "  ", "hourly", "* * * *", "61 * * * *", "0 0 30 2 *", "@every 5s", "@every x", "@reboot", "TZ=Europe/Berlin", "TZ=Nowhere/Land 0 * * * *", "* * * * * *", "0 0 * * 8", "0 0 7 7 8-7", "0 0 * * 6-8"} {
		if _, err := parseCron(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestLastSlot(t *testing.T) {
	now := time.Date(2026, 11, 21, 16, 50, 30, 0, time.UTC)
	for cron, want := range map[string]string{
		"0 * * * *":       "2026-11-21 16:00",
		"* * * * *":       "2026-11-21 16:50",
		"0 2 * * sun":     "2026-11-15 02:00",
		"0 2 1 * *":       "2026-11-01 02:00",
		"0 2 1 12 *":      "2025-12-01 02:00",
		"* * 1 1 *":       "2026-01-01 23:59",
		"0 0 29 2 *":      "2024-02-29 00:00",
		"50 16 21 11 *":   "2026-11-21 16:50",
		"51 16 21 11 *":   "2025-11-21 16:51",
		"@every 45m":      "2026-11-21 16:30",
		"@every 10h30m0s": "2026-11-21 09:00",
	} {
		s := mustCron(t, cron)
		got := s.last(now)
		if cron == "@every 10h30m0s" { // of no particular time, but a multiple
			if next := s.next(got); !next.After(now) || got.After(now) || next.Sub(got) != s.every {
				t.Errorf("%s: %v, then %v", cron, got, next)
			}
			continue
		}
		if text := got.Format("2006-01-02 15:04"); text != want {
			t.Errorf("%s: %s; want %s", cron, text, want)
		}
	}
}
