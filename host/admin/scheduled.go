package admin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/schedule"
	"github.com/brock-backup/brock/sdk"
)

// The files that RunSchedule keeps.
const (
	ScheduleFile = "schedule.json" // what has run
	VerifiedFile = "verified.json" // what was verified
)

// RunSchedule does what a configuration says at its times, until ctx is cancelled, and
// shows it in the metrics. It keeps two files in dir. What is under way at the end
// is cancelled and waited for.
func RunSchedule(ctx context.Context, o *Operations, c *schedule.Config, dir string) error {
	s := &scheduled{o: o, c: c}
	scheduler := schedule.New(c, s, filepath.Join(dir, ScheduleFile), o.log(), time.Now)
	if o.Metrics != nil {
		o.Metrics.Keep(filepath.Join(dir, VerifiedFile), o.log())
		o.Metrics.WatchSchedule(scheduler)
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for i := range c.Destinations {
			s.look(ctx, c.Destinations[i].Name)
		}
	}()
	err := scheduler.Run(ctx)
	<-looked
	return err
}

// scheduled does for a schedule what Operations do.
type scheduled struct {
	o *Operations
	c *schedule.Config
}

// request is what Operations are asked for a destination.
func (s *scheduled) request(destination string) (LocationRequest, error) {
	d := s.c.Destination(destination)
	if d == nil {
		return LocationRequest{}, fmt.Errorf("there is no destination called %s: %w", destination, sdk.ErrInvalid)
	}
	return LocationRequest{URI: d.URI.RevealString(), Anonymous: d.Anonymous, Settings: d.Open}, nil
}

// Backup implements [schedule.Runner].
func (s *scheduled) Backup(ctx context.Context, destination string, full bool) error {
	at, err := s.request(destination)
	if err == nil {
		_, err = s.o.Backup(ctx, BackupRequest{To: at, ForceFull: full, Prove: s.c.Destination(destination).Prove})
	}
	s.look(ctx, destination)
	return err
}

// Verify implements [schedule.Runner].
func (s *scheduled) Verify(ctx context.Context, destination string, mode schedule.Mode) error {
	at, err := s.request(destination)
	if err != nil {
		return err
	}
	r := host.VerifyRequest{Mode: host.VerifyDeep}
	switch mode {
	case schedule.Shallow:
		r.Mode = host.VerifyShallow
	case schedule.Restore:
		r.Mode = host.VerifyRestore
	case schedule.Sample:
		all, err := s.o.List(ctx, at)
		if err != nil {
			return err
		}
		r.Series = sample(all)
	}
	report, err := s.o.Verify(ctx, at, r)
	if err != nil {
		return err
	}
	return damageIn(report)
}

// sample chooses a series by chance, each with the same, or "" if there is none.
func sample(all []manifest.Manifest) string {
	var series []string
	for i := range all {
		if !slices.Contains(series, all[i].Series) {
			series = append(series, all[i].Series)
		}
	}
	if len(series) == 0 {
		return ""
	}
	return series[rand.IntN(len(series))] //nolint:gosec // no secret
}

// damageIn is the damage that a verification has found, as an error.
func damageIn(report *host.VerifyReport) error {
	var first string
	n := 0
	for i := range report.Backups {
		for _, p := range report.Backups[i].Problems {
			if n++; first == "" {
				first = fmt.Sprintf("backup %s: %s: %s", report.Backups[i].ID, p.Object, p.Text)
			}
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%w: %s", host.ErrDamaged, first)
	}
	return fmt.Errorf("%w: %s, and %d problems more", host.ErrDamaged, first, n-1)
}

// Prune implements [schedule.Runner].
func (s *scheduled) Prune(ctx context.Context, destination string, k schedule.Keep) error {
	at, err := s.request(destination)
	if err == nil {
		_, err = s.o.Prune(ctx, at, host.PruneRequest{Rules: host.KeepRules{
			Last: k.Last, Hourly: k.Hourly, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly, Within: time.Duration(k.Within),
		}})
	}
	s.look(ctx, destination)
	return err
}

// look lists a destination's backups, for the metrics.
func (s *scheduled) look(ctx context.Context, destination string) {
	at, err := s.request(destination)
	if err != nil || s.o.Metrics == nil || ctx.Err() != nil {
		return
	}
	all, err := s.o.List(ctx, at)
	if err != nil && !errors.Is(err, host.ErrNoLocation) { // which the first backup makes
		s.o.log().Warn("which backups there are is not known", "destination", destination, "error", err)
		return
	}
	s.o.Metrics.Listed(s.o.name(ctx, at), all)
}
