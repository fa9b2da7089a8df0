package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A rhythm is a schedule whose slots need no cron to be found out.
type rhythm struct {
	cron           string
	period, offset time.Duration // since the beginning of 2000, a Saturday
}

var rhythms = []rhythm{
	{"*/10 * * * *", 10 * time.Minute, 0},
	{"*/17 * * * *", 0, 0}, // not regular: only that it does not disturb the others
	{"*/15 * * * *", 15 * time.Minute, 0},
	{"20 * * * *", time.Hour, 20 * time.Minute},
	{"@hourly", time.Hour, 0},
	{"@every 90m", 90 * time.Minute, 0},
	{"45 3 * * *", 24 * time.Hour, 3*time.Hour + 45*time.Minute},
	{"0 2 * * sun", 7 * 24 * time.Hour, 26 * time.Hour},
}

var millennium = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// slot is the number of the latest slot that is not after t.
func (r rhythm) slot(t time.Time) int64 {
	d := t.Sub(millennium) - r.offset
	n := int64(d / r.period)
	if d < 0 {
		n--
	}
	return n
}

func (r rhythm) at(slot int64) time.Time {
	return millennium.Add(r.offset + time.Duration(slot)*r.period)
}

// However often the host is down or killed, however long runs take and however many of
// them fail: every schedule runs after each period in which a slot has come, and of no
// slot succeed two runs.
func TestEverySlotOnceWhateverHappens(t *testing.T) {
	defer func(was func(string, []byte) error) { replaceFile = was }(replaceFile)
	replaceFile = func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	seeds := uint64(25)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { history(t, seed) })
		if t.Failed() {
			t.Fatalf("of seed %d", seed)
		}
	}
}

func history(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	var yaml strings.Builder
	yaml.WriteString("destinations: [")
	chosen := map[string]rhythm{}
	var lines []string
	for i := range 1 + rnd.IntN(5) {
		r, do := rhythms[rnd.IntN(len(rhythms))], order[rnd.IntN(len(order))]
		fmt.Fprintf(&yaml, "{name: d%d, uri: /d%d}, ", i, i)
		chosen[fmt.Sprintf("d%d", i)] = r
		jitter := ""
		if rnd.IntN(3) == 0 && r.period > time.Minute {
			jitter = ", jitter: 30s"
		}
		lines = append(lines, fmt.Sprintf("- {name: s%d, destination: d%d, do: %s, cron: %q%s}\n", i, i, do, r.cron, jitter))
	}
	fmt.Fprintf(&yaml, "]\nschedules:\n%s", strings.Join(lines, ""))
	w := newWorld(t, yaml.String())
	failing := 0
	w.diary.take = func(string) (time.Duration, error) {
		took := time.Duration(rnd.IntN(200)) * time.Second
		if failing > 0 && rnd.IntN(100) < failing {
			return took, errors.New("failed")
		}
		return took, nil
	}
	type up struct{ from, to time.Time }
	var ups []up
	for range 6 {
		wait(time.Duration(rnd.Int64N(int64([]time.Duration{time.Minute, 5 * time.Hour, 20 * 24 * time.Hour}[rnd.IntN(3)]))))
		failing = []int{0, 0, 40}[rnd.IntN(3)]
		from, long := w.now(), time.Duration(rnd.Int64N(int64(12*time.Hour)))
		if rnd.IntN(2) == 0 {
			w.killed(max(long, time.Second))
		} else {
			w.live(long)
		}
		if failing == 0 {
			ups = append(ups, up{from, w.now()})
		}
		if rnd.IntN(10) == 0 {
			if err := os.WriteFile(w.state+".new", []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	for d, r := range chosen {
		if r.period == 0 {
			continue
		}
		done := map[int64]run{}
		var runs []run
		for _, one := range w.diary.runs {
			if !strings.Contains(one.what+" ", " "+d+" ") {
				continue
			}
			runs = append(runs, one)
			slot := r.slot(one.start)
			if one.start.Sub(r.at(slot)) < 30*time.Second {
				continue // with its jitter, it may be for the slot before
			}
			if before, twice := done[slot]; twice && one.err == nil {
				t.Errorf("%s, %s: slot %d was done at %v and at %v", d, r.cron, slot, before.start, one.start)
			}
			if one.err == nil {
				done[slot] = one
			}
		}
		for _, u := range ups {
			// Within so much all that is due has had its turn, and an attempt that was
			// killed with the host before has been made again.
			const enough = 100 * time.Minute
			if u.to.Sub(u.from) < 2*enough {
				continue
			}
			for end := u.from.Add(2 * enough); end.Before(u.to); end = end.Add(enough) {
				slot := r.slot(end.Add(-enough))
				at := r.at(slot)
				if !served(runs, at, end) {
					t.Errorf("%s, %s: the slot of %v was not served until %v (up since %v):\n%s", d, r.cron, at, end, u.from, w.diary)
					return
				}
			}
		}
	}
}

// served reports whether a run that succeeded began in the time from a slot on, or was under way then.
func served(runs []run, slot, until time.Time) bool {
	for _, one := range runs {
		if one.err == nil && !one.end.Before(slot) && !one.start.After(until) {
			return true
		}
	}
	return false
}

// What a plan says does not depend on when it is asked: the next time is the same until
// it has come.
func TestPlansHold(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		r := rhythms[rnd.IntN(len(rhythms))]
		e := &entry{Schedule: Schedule{Name: "s", slots: mustCron(t, r.cron), Jitter: Duration(rnd.Int64N(int64(50 * time.Second)))}, seed: rnd.Uint64()}
		now := millennium.Add(time.Duration(rnd.Int64N(int64(400 * 24 * time.Hour))))
		slot, at := e.plan(now)
		if !at.Equal(now) {
			t.Fatalf("%s: what never ran runs at %v; want %v", r.cron, at, now)
		}
		e.begin(slot, now)
		var err error
		if rnd.IntN(2) == 0 {
			err = context.DeadlineExceeded
		}
		e.end(now.Add(time.Duration(rnd.Int64N(int64(3*time.Hour)))), err, false)
		now = e.rec.Ended
		slot, at = e.plan(now)
		if slot.Before(e.rec.Slot) || at.Before(now) || err == nil && !slot.After(e.rec.Slot) {
			t.Fatalf("%s: after %+v at %v comes %v at %v", r.cron, e.rec, now, slot, at)
		}
		for range 20 {
			if at.Equal(now) {
				break
			}
			later := now.Add(time.Duration(rnd.Int64N(int64(at.Sub(now)))))
			if s, a := e.plan(later); !s.Equal(slot) || !a.Equal(at) {
				t.Fatalf("%s: at %v the plan is %v at %v; at %v it was %v at %v", r.cron, later, s, a, now, slot, at)
			}
		}
	}
}

// A retry is not put off because the clock was set back.
func TestRetryAfterTheClockWasSetBack(t *testing.T) {
	now := millennium.Add(30 * time.Minute)
	e := &entry{Schedule: Schedule{Name: "s", slots: mustCron(t, "@daily")}}
	slot, _ := e.plan(now)
	e.begin(slot, now)
	e.end(now, errors.New("failed"), false)
	now = now.Add(-20 * time.Minute)
	if e.rewind(now) {
		t.Error("a slot was taken back")
	}
	if again, at := e.plan(now); !again.Equal(slot) || !at.Equal(now.Add(firstRetry)) {
		t.Errorf("slot %v at %v; want %v at %v", again, at, slot, now.Add(firstRetry))
	}
}
