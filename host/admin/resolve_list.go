package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/brock-backup/brock/host/manifest"
)

// ListBackupsInput is Dgraph's.
type ListBackupsInput struct {
	Location string
	Credentials
	SinceDate, UntilDate *string
	LastNDays            *int32
	FullManifest         *bool
}

// Manifest is Dgraph's. What Dgraph leaves null is null here.
type Manifest struct {
	BackupID  *string
	BackupNum *UInt64
	Encrypted *bool
	Groups    *[]*BackupGroup
	Path      *string
	Since     *UInt64
	Type      *string
	ReadTs    *UInt64
}

// BackupGroup is Dgraph's: the predicates are in the form in which the backup has them.
type BackupGroup struct {
	GroupID    *UInt64
	Predicates *[]*string
}

// ListBackups lists the backups at a location.
func (r *resolver) ListBackups(ctx context.Context, args struct{ Input ListBackupsInput }) (*[]*Manifest, error) {
	if err := operation(ctx); err != nil {
		return nil, failed("listBackups", err)
	}
	in := &args.Input
	since, until, err := in.period(time.Now())
	if err != nil {
		return nil, failed("listBackups", err)
	}
	at := in.location(in.Location)
	all, err := r.operations().List(ctx, at)
	if err != nil {
		where := r.operations().name(ctx, at)
		if where == unknownLocation {
			where = "that is given"
		}
		return nil, failed("listBackups", fmt.Errorf("cannot read manifests at location %s: %w", where, err))
	}
	list := []Manifest{}
	for i := range all {
		if taken := all[i].Taken(); !since.IsZero() && taken.Before(since) || !until.IsZero() && !taken.Before(until) {
			continue
		}
		m, err := newManifest(&all[i])
		if err != nil {
			return nil, failed("listBackups", err)
		}
		list = append(list, m)
	}
	return pointers(list), nil
}

func newManifest(m *manifest.Manifest) (Manifest, error) {
	groups := []BackupGroup{}
	for _, g := range slices.Sorted(maps.Keys(m.Groups)) {
		names := []string{}
		for _, p := range m.Groups[g] {
			name, err := p.Format(m.Form)
			if err != nil {
				return Manifest{}, fmt.Errorf("backup %s: %w", m.ID(), err)
			}
			names = append(names, name)
		}
		groups = append(groups, BackupGroup{new(UInt64(g)), pointers(names)})
	}
	return Manifest{
		BackupID: &m.Series, BackupNum: new(UInt64(m.Number)), Encrypted: orNull(m.Encrypted), Groups: pointers(groups),
		Path: &m.Path, Type: new(backupType(m.Full)), ReadTs: new(UInt64(m.ReadTs)),
	}, nil
}

// period is when the backups that are asked for were taken: from since on, before until.
func (in *ListBackupsInput) period(now time.Time) (since, until time.Time, err error) {
	if days := value(in.LastNDays); days != 0 {
		if value(in.SinceDate) != "" {
			return since, until, errors.New("lastNDays and sinceDate exclude each other")
		}
		if days < 0 {
			return since, until, errors.New("lastNDays value should be equal or greater than zero")
		}
		since = now.AddDate(0, 0, -int(days))
	}
	if text := value(in.SinceDate); text != "" {
		if since, _, err = parseDate(text); err != nil {
			return since, until, fmt.Errorf("sinceDate: %w", err)
		}
	}
	if text := value(in.UntilDate); text != "" {
		var day bool
		if until, day, err = parseDate(text); err != nil {
			return since, until, fmt.Errorf("untilDate: %w", err)
		}
		if until = until.Add(time.Nanosecond); day {
			until = until.AddDate(0, 0, 1).Add(-time.Nanosecond)
		}
	}
	return since, until, nil
}

// parseDate reads a day or a moment.
func parseDate(text string) (t time.Time, day bool, err error) {
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, false, errors.New("write it as YYYY-MM-DD, or as RFC 3339 has it")
	}
	return t, false, nil
}
