package admin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/schedule"
)

// configured writes a configuration for a desk, and loads it.
func (d *desk) configured(schedules string) *schedule.Config {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "brock.yaml")
	text := "destinations: [{name: near, uri: " + d.backups + "}]\nschedules:\n" + schedules
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	c, err := schedule.Load(file)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// until waits until a metric has a value.
func until(t *testing.T, m *Metrics, name, want string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for metric(t, m, name) != want {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s is %q; want %q", name, metric(t, m, name), want)
		}
	}
}

// What was never done is done at once: a full backup, an incremental one, a verification, a
// pruning. The metrics tell of it, and a restart does not do it again.
func TestRunSchedule(t *testing.T) {
	d := newDesk(t, func(o *Operations) { o.Metrics = NewMetrics("v1") })
	d.set("first")
	o, dir := d.node.Operations, t.TempDir()
	c := d.configured(`
- {name: tidy, do: prune, cron: "0 5 1 1 *", keep: {last: 1}}
- {name: nightly, do: verify, cron: "0 5 1 1 *", verify: restore}
- {name: weekly, do: full, cron: "0 5 1 1 *"}
- {name: hourly, do: incremental, cron: "0 5 1 1 *"}`)
	run := func(what ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		over := make(chan error, 1)
		go func() { over <- RunSchedule(ctx, o, c, dir) }()
		for _, name := range what {
			until(t, o.Metrics, name, "1")
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
	at := `{location="` + d.backups + `"`
	run(
		`brock_schedule_runs_total{result="success",schedule="weekly"}`, `brock_schedule_runs_total{result="success",schedule="hourly"}`,
		`brock_schedule_runs_total{result="success",schedule="nightly"}`, `brock_schedule_runs_total{result="success",schedule="tidy"}`)
	for name, want := range map[string]string{
		"brock_backups_total" + at + `,result="success"}`:       "2",
		"brock_verifications_total" + at + `,result="success"}`: "1",
		"brock_prunes_total" + at + `,result="success"}`:        "1",
		"brock_location_backups" + at + `}`:                     "2",
		"brock_verify_coverage_ratio" + at + `}`:                "1",
		"brock_verify_damaged_backups" + at + `}`:               "0",
		`brock_backup_duration_seconds_count{stage="total"}`:    "2",
		`brock_backup_duration_seconds_count{stage="objects"}`:  "2",
		`brock_schedule_failures{schedule="weekly"}`:            "0",
	} {
		if got := metric(t, o.Metrics, name); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	full := metric(t, o.Metrics, "brock_backup_last_success_timestamp_seconds"+at+`,type="full"}`)

	o.Metrics = NewMetrics("v1") // the host begins anew, and knows what was
	run("brock_verify_coverage_ratio" + at + `}`)
	if got := metric(t, o.Metrics, "brock_backup_last_success_timestamp_seconds"+at+`,type="full"}`); got == "" || full == "" {
		t.Errorf("the last full backup is at %q; was at %q", got, full)
	}
	if got := metric(t, o.Metrics, "brock_backups_total"+at+`,result="success"}`); got != "" {
		t.Errorf("%s backups more", got)
	}
}

func TestScheduledVerificationsFindDamage(t *testing.T) {
	d := newDesk(t, func(o *Operations) { o.Metrics = NewMetrics("v1") })
	d.set("first")
	s := &scheduled{o: d.node.Operations, c: d.configured("  []")}
	ctx := t.Context()
	if err := errors.Join(s.Backup(ctx, "near", false), s.Backup(ctx, "near", true)); err != nil {
		t.Fatal(err)
	}
	modes := []schedule.Mode{schedule.Shallow, schedule.Deep, schedule.Sample, schedule.Restore}
	for _, mode := range modes {
		if err := s.Verify(ctx, "near", mode); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(d.backups, "*", "*.backup"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range modes[1:] {
		if err := s.Verify(ctx, "near", mode); !errors.Is(err, host.ErrDamaged) || !strings.Contains(err.Error(), ".backup") {
			t.Errorf("%s: %v; want damage, and where", mode, err)
		}
	}
	at := `{location="` + d.backups + `"`
	if got := metric(t, d.node.Operations.Metrics, "brock_verifications_total"+at+`,result="damaged"}`); got != "3" {
		t.Errorf("%s verifications found damage; want 3", got)
	}
	if err := s.Backup(ctx, "far", false); err == nil {
		t.Error("a destination that is not there has a backup")
	}
	if err := s.Prune(ctx, "near", schedule.Keep{Last: -1}); err == nil {
		t.Error("rules that mean nothing are taken")
	}
}

func TestScheduledPruning(t *testing.T) {
	d := newDesk(t)
	d.set("first")
	s := &scheduled{o: d.node.Operations, c: d.configured("  []")}
	for range 3 {
		if err := s.Backup(t.Context(), "near", true); err != nil {
			t.Fatal(err)
		}
	}
	for keep, want := range map[schedule.Keep]int{{}: 3, {Within: schedule.Duration(time.Hour)}: 3} {
		if err := s.Prune(t.Context(), "near", keep); err != nil {
			t.Fatal(err)
		}
		if n := d.count(); n != want {
			t.Errorf("keep %+v: %d backups; want %d", keep, n, want)
		}
	}
	if err := s.Prune(t.Context(), "near", schedule.Keep{Last: 2}); err != nil || d.count() != 2 {
		t.Errorf("keep last 2: %d backups, %v", d.count(), err)
	}
}

// count returns how many backups there are.
func (d *desk) count() int {
	d.t.Helper()
	all, err := d.node.Operations.List(d.t.Context(), LocationRequest{URI: d.backups})
	if err != nil {
		d.t.Fatal(err)
	}
	return len(all)
}

// Chance leaves no series out.
func TestSample(t *testing.T) {
	all := []manifest.Manifest{*taken("a", 1), *taken("a", 2), *taken("b", 1), *taken("c", 1)}
	seen := map[string]int{}
	for range 600 {
		seen[sample(all)]++
	}
	if len(seen) != 3 || min(seen["a"], seen["b"], seen["c"]) < 100 {
		t.Errorf("of 600 samples %v", seen)
	}
	if got := sample(nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
