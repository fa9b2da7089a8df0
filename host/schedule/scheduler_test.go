package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A diary is a Runner that writes down what it was asked for.
type diary struct {
	now  func() time.Time
	take func(what string) (time.Duration, error) // how long it takes, and its outcome; nil: none, and well

	mu   sync.Mutex
	runs []run
}

type run struct {
	what       string
	start, end time.Time
	err        error
}

func (d *diary) do(ctx context.Context, what string) error {
	start := d.now()
	var took time.Duration
	var err error
	if d.take != nil {
		took, err = d.take(what)
	}
	if took > 0 {
		timer := time.NewTimer(took)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = append(d.runs, run{what, start, d.now(), err})
	return err
}

func (d *diary) Backup(ctx context.Context, destination string, full bool) error {
	if full {
		return d.do(ctx, "full "+destination)
	}
	return d.do(ctx, "incremental "+destination)
}

func (d *diary) Verify(ctx context.Context, destination string, mode Mode) error {
	return d.do(ctx, "verify "+destination+" "+string(mode))
}

func (d *diary) Prune(ctx context.Context, destination string, keep Keep) error {
	return d.do(ctx, fmt.Sprintf("prune %s %d", destination, keep.Last))
}

// String is a line for each run.
func (d *diary) String() string {
	var b strings.Builder
	for _, r := range d.runs {
		fmt.Fprintf(&b, "%s %s", r.start.Format("Mon 15:04:05"), r.what)
		if took := r.end.Sub(r.start); took > 0 {
			fmt.Fprintf(&b, " %v", took)
		}
		if r.err != nil {
			fmt.Fprintf(&b, ": %v", r.err)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// A world has a clock, which begins on a Saturday, and a diary.
type world struct {
	t      *testing.T
	config *Config
	state  string
	ahead  time.Duration // of the clock on the wall
	log    strings.Builder
	diary  *diary
}

func newWorld(t *testing.T, yaml string) *world {
	t.Helper()
	w := &world{t: t, config: load(t, yaml), state: filepath.Join(t.TempDir(), "schedule.json")}
	w.diary = &diary{now: w.now}
	return w
}

func (w *world) now() time.Time { return time.Now().UTC().Add(w.ahead) } // synctest begins on 2000-01-01 00:00, a Saturday

func (w *world) scheduler() *Scheduler {
	return New(w.config, w.diary, w.state, hclog.New(&hclog.LoggerOptions{Output: &w.log, DisableTime: true}), w.now)
}

// live runs a scheduler for a while.
func (w *world) live(d time.Duration) *Scheduler {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	s := w.scheduler()
	if err := s.Run(ctx); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// killed runs one for a while, of which the state file does not hear the end.
func (w *world) killed(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	s := w.scheduler()
	over := make(chan struct{})
	go func() { defer close(over); _ = s.Run(ctx) }()
	wait(d)
	synctest.Wait()
	data, err := os.ReadFile(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	cancel()
	<-over
	if err := os.WriteFile(w.state, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// wait lets the clock go on.
func wait(d time.Duration) { <-time.After(d) }

// wants compares what was done since it was last asked.
func (w *world) wants(lines ...string) {
	w.t.Helper()
	if got, want := w.diary.String(), strings.Join(append(lines, ""), "\n"); got != want {
		w.t.Errorf("got\n%swant\n%s", got, want)
	}
	w.diary.runs = nil
}

const week = `
destinations: [{name: far, uri: /far}]
schedules:
- {name: tidy, do: prune, cron: "0 0 * * *", keep: {last: 3}}
- {name: nightly, do: verify, cron: "0 0 * * *", verify: sample}
- {name: hourly, do: incremental, cron: "0 */12 * * *"}
- {name: weekly, do: full, cron: "0 0 * * sun"}
`

func TestAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, week)
		w.ahead = 10 * time.Hour
		w.live(40 * time.Hour)
		w.wants( // what has never run runs at once, full backups first
			"Sat 10:00:00 full far", "Sat 10:00:00 incremental far", "Sat 10:00:00 verify far sample", "Sat 10:00:00 prune far 3",
			"Sat 12:00:00 incremental far",
			"Sun 00:00:00 full far", "Sun 00:00:00 incremental far", "Sun 00:00:00 verify far sample", "Sun 00:00:00 prune far 3",
			"Sun 12:00:00 incremental far",
			"Mon 00:00:00 incremental far", "Mon 00:00:00 verify far sample", "Mon 00:00:00 prune far 3")
		w.live(9 * time.Hour)
		w.wants()                // of what was done nothing is done again
		wait(8 * 24 * time.Hour) // the host is down
		s := w.live(50 * time.Minute)
		w.wants("Tue 11:00:00 full far", "Tue 11:00:00 incremental far", "Tue 11:00:00 verify far sample", "Tue 11:00:00 prune far 3")
		missed := map[string]uint64{}
		for _, st := range s.Status() {
			missed[st.Name] = st.Missed
		}
		if missed["weekly"] != 0 || missed["hourly"] != 15 || missed["nightly"] != 7 {
			t.Errorf("missed %v; want 15 of hourly, 7 of nightly", missed)
		}
		w.live(time.Hour)
		w.wants("Tue 12:00:00 incremental far")
	})
}

func TestBackupsRunOneAfterAnotherAndBesideVerifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, week)
		w.diary.take = func(what string) (time.Duration, error) {
			return map[string]time.Duration{"full far": 90 * time.Minute, "incremental far": 10 * time.Minute, "verify far sample": 13 * time.Hour, "prune far 3": time.Minute}[what], nil
		}
		w.ahead = 23 * time.Hour
		w.live(15*time.Hour + 30*time.Minute)
		w.wants(
			"Sat 23:00:00 full far 1h30m0s", // the night's first full one is that of the week before, and it takes until after midnight
			"Sun 00:30:00 incremental far 10m0s",
			"Sun 12:00:00 incremental far 10m0s", // while the verification goes on
			"Sun 00:40:00 verify far sample 13h0m0s",
			"Sun 13:40:00 prune far 3 1m0s")
	})
}

// Two schedules that are always due keep nothing else waiting for good.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: a, uri: /a}, {name: b, uri: /b}, {name: c, uri: /c}]
schedules:
- {name: a, destination: a, do: full, cron: "* * * * *"}
- {name: b, destination: b, do: full, cron: "* * * * *"}
- {name: c, destination: c, do: incremental, cron: "@daily"}
- {name: d, destination: c, do: verify, cron: "@daily"}`)
		w.diary.take = func(string) (time.Duration, error) { return 70 * time.Second, nil }
		w.live(2 * time.Hour)
		var got []string
		for _, r := range w.diary.runs {
			if strings.Contains(r.what, " c") {
				got = append(got, r.start.Format("15:04 ")+r.what)
			}
		}
		if text := strings.Join(got, ", "); text != "01:00 incremental c, 01:01 verify c deep" {
			t.Errorf("beside those that are always due: %s", text)
		}
	})
}

func TestOverlappingRunsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: hourly, do: incremental, cron: "@hourly"}]`)
		w.diary.take = func(string) (time.Duration, error) { return 130 * time.Minute, nil }
		s := w.live(6*time.Hour + 30*time.Minute)
		w.wants("Sat 00:00:00 incremental far 2h10m0s", "Sat 03:00:00 incremental far 2h10m0s", "Sat 06:00:00 incremental far 30m0s: context deadline exceeded")
		if st := s.Status()[0]; st.Missed != 4 || st.Runs != 2 || st.Failed != 0 || st.Running {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(w.log.String(), "left out") {
			t.Errorf("nobody was told:\n%s", &w.log)
		}
		w.live(time.Minute)
		w.wants("Sat 06:30:00 incremental far 1m0s: context deadline exceeded") // it was cut short by us, and begins anew
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: daily, do: full, cron: "@daily", timeout: 2m}]`)
		left := 4
		w.diary.take = func(string) (time.Duration, error) {
			if left--; left == 2 {
				return time.Hour, nil
			}
			if left >= 0 {
				return 0, errors.New("no space")
			}
			return 0, nil
		}
		s := w.live(time.Hour)
		w.wants("Sat 00:00:00 full far: no space", "Sat 00:01:00 full far 2m0s: context deadline exceeded",
			"Sat 00:05:00 full far: no space", "Sat 00:09:00 full far: no space", "Sat 00:17:00 full far")
		if st := s.Status()[0]; st.Failures != 0 || st.Failed != 4 || st.Runs != 5 || st.Missed != 0 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(w.log.String(), "no end after 2m0s") {
			t.Errorf("the log does not tell of the timeout:\n%s", &w.log)
		}
		w.diary.take = func(string) (time.Duration, error) { return 0, errors.New("no space") }
		w.live(47*time.Hour + 30*time.Minute)
		if n := len(w.diary.runs); n != 29+1 || w.diary.runs[29].start.Format("Mon 15:04:05") != "Mon 00:00:00" {
			t.Errorf("%d attempts; want 29 in a day, at last one an hour, and then for the next slot:\n%s", n, w.diary)
		}
	})
}

func TestKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: daily, do: full, cron: "@daily"}]`)
		w.diary.take = func(string) (time.Duration, error) { return time.Hour, nil }
		w.killed(20 * time.Minute)
		w.diary.runs = nil
		w.killed(30 * time.Minute)
		w.wants("Sat 00:20:00 full far 30m0s: context canceled") // more than a minute after its begin
		w.live(3 * time.Hour)
		w.wants("Sat 00:50:00 full far 1h0m0s")
		w.killed(time.Hour)
		w.live(19 * time.Hour)
		w.wants()
	})
}

// A process that what it does kills is not killed again and again at once.
func TestKilledByItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: daily, do: full, cron: "@daily"}]`)
		w.diary.take = func(string) (time.Duration, error) { return time.Hour, nil }
		for range 120 {
			w.killed(10 * time.Second)
		}
		if n := len(w.diary.runs); n < 4 || n > 40 {
			t.Errorf("%d attempts in 20 minutes", n)
		}
	})
}

func TestClocks(t *testing.T) {
	const hourly = `
destinations: [{name: far, uri: /far}]
schedules: [{name: hourly, do: incremental, cron: "@hourly"}]`
	for what, c := range map[string]struct {
		leap  time.Duration
		wants []string
	}{
		"a little back":  {-45 * time.Minute, []string{"Mon 13:00:00 incremental far"}}, // 12:00 has been
		"far back":       {-30 * 24 * time.Hour, []string{"Sat 13:00:00 incremental far"}},
		"a little ahead": {45 * time.Minute, []string{"Mon 13:16:00 incremental far"}},
		"far ahead":      {5 * 24 * time.Hour, []string{"Sat 12:31:00 incremental far", "Sat 13:00:00 incremental far"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, hourly)
			w.ahead = (9*24 + 12) * time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, over := w.scheduler(), make(chan struct{})
			go func() { defer close(over); _ = s.Run(ctx) }()
			wait(30 * time.Minute)
			synctest.Wait()
			w.wants("Mon 12:00:00 incremental far")
			w.ahead += c.leap
			for stop := w.now().Truncate(time.Hour).Add(150 * time.Minute); w.now().Before(stop) && len(w.diary.runs) < len(c.wants); wait(time.Minute) {
				synctest.Wait()
			}
			t.Log(what)
			w.wants(c.wants...)
			cancel()
			<-over
		})
	}
}

// The host may be moved to another zone, and its nights with it.
func TestDaylightSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: weekly, do: full, cron: "30 2 * * sun"}]`)
		loc := zone(t, "Europe/Berlin")
		w.ahead = time.Until(time.Date(2026, 3, 27, 12, 0, 0, 0, loc))
		s := New(w.config, w.diary, w.state, nil, func() time.Time { return w.now().In(loc) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*24*time.Hour)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		w.wants("Fri 11:00:00 full far", "Sun 01:00:00 full far", "Sun 00:30:00 full far")
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
destinations: [{name: far, uri: /far}]
schedules: [{name: hourly, do: incremental, cron: "@hourly", jitter: 59m}]`)
		w.live(4 * 24 * time.Hour)
		delays := map[time.Duration]bool{}
		var hours []time.Time
		for _, r := range w.diary.runs[1:] {
			slot := r.start.Truncate(time.Hour)
			hours = append(hours, slot)
			delays[r.start.Sub(slot)] = true
			if r.start.Sub(slot) >= 59*time.Minute {
				t.Errorf("a run at %v", r.start)
			}
		}
		if n := len(slices.Compact(hours)); n < 94 || n != len(w.diary.runs)-1 || len(delays) < 60 {
			t.Errorf("%d hours with %d runs and %d different delays; want each hour, once, at any time", n, len(w.diary.runs)-1, len(delays))
		}
		next := w.scheduler().Status()[0].Next
		if again := w.scheduler().Status()[0].Next; !again.Equal(next) {
			t.Errorf("next at %v, or at %v", next, again)
		}
	})
}

func TestStateFileFaults(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, file string) (readable bool){
		"gone":      func(t *testing.T, file string) bool { remove(t, file); return true },
		"empty":     func(t *testing.T, file string) bool { write(t, file, ""); return false },
		"half":      func(t *testing.T, file string) bool { cut(t, file); return false },
		"other":     func(t *testing.T, file string) bool { write(t, file, `{"version": 2}`); return false },
		"no JSON":   func(t *testing.T, file string) bool { write(t, file, "\x00\x01"); return false },
		"directory": func(t *testing.T, file string) bool { remove(t, file); mkdir(t, file+"/x"); return false },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, week)
				w.live(time.Minute)
				w.diary.runs = nil
				write(t, w.state+".new", "left by a crash")
				w.live(time.Minute)
				w.wants()
				w.log.Reset()
				readable := spoil(t, w.state)
				w.live(time.Minute)
				if n := len(w.diary.runs); n != 4 {
					t.Errorf("%d runs; want each schedule's once:\n%s", n, w.diary)
				}
				if warned := strings.Contains(w.log.String(), "is not known"); warned == readable {
					t.Errorf("warned %t:\n%s", warned, &w.log)
				}
			})
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil || os.Truncate(file, info.Size()/2) != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, week)
		text := func() string {
			var b strings.Builder
			if err := Check(&b, w.config, w.state, w.now()); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		const want = `DESTINATION  LOCATION
far          /far
SCHEDULE  DOES           TO   CRON          NEXT     LAST SUCCESS
tidy      prune          far  0 0 * * *     at once  never
nightly   verify sample  far  0 0 * * *     at once  never
hourly    incremental    far  0 */12 * * *  at once  never
weekly    full           far  0 0 * * sun   at once  never
`
		if got := text(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if _, err := os.Stat(w.state); err == nil {
			t.Error("a check has written a state")
		}
		w.live(time.Minute)
		for _, line := range []string{
			"tidy      prune          far  0 0 * * *     Sun 2000-01-02 00:00:00 UTC  Sat 2000-01-01 00:00:00 UTC",
			"hourly    incremental    far  0 */12 * * *  Sat 2000-01-01 12:00:00 UTC  Sat 2000-01-01 00:00:00 UTC",
		} {
			if got := text(); !strings.Contains(got, line+"\n") {
				t.Errorf("got\n%swant\n%s", got, line)
			}
		}
	})
}
