package schedule

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A Status is how far one schedule has come.
type Status struct {
	Name, Destination string
	Do                Do
	Next              time.Time // of the next attempt, not before now; zero while one runs, and if there is none for years
	Running           bool
	Started           time.Time // of the latest attempt; zero if there was none
	Succeeded         time.Time // when the latest one ended that did; zero if none did
	Failures          int       // attempts in a row that failed

	Runs, Failed uint64 // attempts that have ended since the scheduler began, and how many of them failed
	Missed       uint64 // slots without a run of their own since then
}

// Status returns that of all schedules, in the order of the configuration.
func (s *Scheduler) Status() []Status {
	s.load()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var all []Status
	for _, e := range s.entries {
		st := Status{
			Name: e.Name, Destination: e.Destination, Do: e.Do, Running: e.running, Started: e.rec.Started, Succeeded: e.rec.Succeeded,
			Failures: e.rec.Failures, Runs: e.runs, Failed: e.failed, Missed: e.missed,
		}
		if !e.running {
			_, st.Next = e.plan(now)
		}
		all = append(all, st)
	}
	return all
}

// Check tells what a configuration means: what would run next, and when. Nothing is run.
// The state file may be that of a host that runs.
func Check(w io.Writer, c *Config, statePath string, now time.Time) error {
	s := New(c, nil, statePath, nil, func() time.Time { return now })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(c.Destinations) > 0 {
		fmt.Fprintln(t, "DESTINATION\tLOCATION")
	}
	for i := range c.Destinations {
		fmt.Fprintf(t, "%s\t%s\n", c.Destinations[i].Name, c.Destinations[i].Location())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	all := s.Status()
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no schedules")
		return err
	}
	fmt.Fprintln(t, "SCHEDULE\tDOES\tTO\tCRON\tNEXT\tLAST SUCCESS")
	for i, st := range all {
		next, last := "never", "never"
		switch {
		case st.Next.Equal(now):
			next = "at once"
		case !st.Next.IsZero():
			next = st.Next.In(now.Location()).Format("Mon 2006-01-02 15:04:05 MST")
		}
		if !st.Succeeded.IsZero() {
			last = st.Succeeded.In(now.Location()).Format("Mon 2006-01-02 15:04:05 MST")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", st.Name, c.Schedules[i].does(), st.Destination, c.Schedules[i].Cron, next, last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, warning := range c.Warnings {
		if _, err := fmt.Fprintln(w, "warning:", warning); err != nil {
			return err
		}
	}
	return nil
}

// does is what a schedule does, in words.
func (s *Schedule) does() string {
	if s.Do == Verify {
		return string(s.Do) + " " + string(s.Verify)
	}
	return string(s.Do)
}
