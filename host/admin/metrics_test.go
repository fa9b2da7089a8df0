package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/host/schedule"
	"github.com/brock-backup/brock/sdk/launch"
)

// taken is a backup of series s.
func taken(series string, number int) *manifest.Manifest {
	return &manifest.Manifest{Series: series, Number: number, Full: number == 1, Path: fmt.Sprintf("dgraph.20261121.%02d%02d00.000", number, series[0]-'a')}
}

// report is a verification of backups, of which some are damaged.
func report(mode host.VerifyMode, damaged string, all ...*manifest.Manifest) *host.VerifyReport {
	r := &host.VerifyReport{Mode: mode}
	for _, m := range all {
		b := host.BackupReport{ID: m.ID(), Path: m.Path}
		if m.ID() == damaged {
			b.Problems = []host.Problem{{Object: "o", Text: "t"}}
		}
		r.Backups = append(r.Backups, b)
	}
	return r
}

// exercised are metrics of which each has a value.
func exercised() *Metrics {
	m := NewMetrics("v1")
	const at = "s3:///bucket"
	m.Backup(at, &host.BackupResult{Manifest: taken("a", 1), Bytes: 10, Entries: 5, Damaged: []string{"k"}}, time.Second, nil)
	m.Backup(at, &host.BackupResult{Manifest: taken("a", 2), Bytes: 1, Entries: 1}, time.Second, nil)
	m.Backup(at, nil, time.Second, errors.New("failed"))
	m.Restore(at, time.Second, nil)
	m.Restore(at, time.Second, errors.New("failed"))
	m.Verify(at, report(host.VerifyDeep, "", taken("a", 1)), time.Second, nil)
	m.Verify(at, nil, time.Second, context.Canceled)
	m.Prune(at, &host.PruneResult{Bytes: 7}, time.Second, nil)
	m.Prune(at, nil, time.Second, errors.New("failed"))
	m.Listed(at, []manifest.Manifest{*taken("a", 1), *taken("a", 2)})
	m.reg.MustRegister(collector(func(out chan<- prometheus.Metric) {
		collectPlugins(out, []plugindir.Running{{Name: "brock-destination-s3", State: launch.Ready, Restarts: 2}})
		collectSchedule(out, []schedule.Status{{Name: "hourly", Next: time.Unix(5, 0), Missed: 1, Runs: 3, Failed: 1, Failures: 1}})
	}))
	return m
}

func TestMetricsAreNamedWell(t *testing.T) {
	d := newDesk(t)
	m := exercised()
	m.WatchStore(d.node.Operations.Store)
	problems, err := testutil.GatherAndLint(m.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// metric returns one metric, as it is written for Prometheus, or "".
func metric(t *testing.T, m *Metrics, name string) string {
	t.Helper()
	for line := range strings.Lines(page(t, m)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func page(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	data, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d, %v: %s", w.Code, err, data)
	}
	return string(data)
}

func TestWhatIsCounted(t *testing.T) {
	m := exercised()
	for name, want := range map[string]string{
		`brock_backups_total{location="s3:///bucket",result="success"}`:                 "2",
		`brock_backups_total{location="s3:///bucket",result="failure"}`:                 "1",
		`brock_backup_bytes{location="s3:///bucket",type="full"}`:                       "10",
		`brock_backup_entries{location="s3:///bucket",type="incremental"}`:              "1",
		`brock_backup_damaged_keys{location="s3:///bucket"}`:                            "0",
		`brock_backup_duration_seconds_count{stage="total"}`:                            "2",
		`brock_restores_total{location="s3:///bucket",result="failure"}`:                "1",
		`brock_verifications_total{location="s3:///bucket",result="cancelled"}`:         "1",
		`brock_verify_coverage_ratio{location="s3:///bucket"}`:                          "0.5",
		`brock_location_backups{location="s3:///bucket"}`:                               "2",
		`brock_prune_removed_bytes_total{location="s3:///bucket"}`:                      "7",
		`brock_plugin_restarts_total{plugin="brock-destination-s3"}`:                    "2",
		`brock_plugin_state{plugin="brock-destination-s3",state="ready"}`:               "1",
		`brock_plugin_state{plugin="brock-destination-s3",state="quarantined"}`:         "0",
		`brock_schedule_next_run_timestamp_seconds{schedule="hourly"}`:                  "5",
		`brock_schedule_last_success_timestamp_seconds{schedule="hourly"}`:              "0",
		`brock_schedule_runs_total{result="success",schedule="hourly"}`:                 "2",
		`brock_schedule_missed_total{schedule="hourly"}`:                                "1",
		`brock_build_info{goversion="` + runtime.Version() + `",version="v1"}`:          "1",
		`brock_verify_last_success_timestamp_seconds{location="s3:///never seen/here"}`: "",
	} {
		if got := metric(t, m, name); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if metric(t, m, `brock_backup_last_failure_timestamp_seconds{location="s3:///bucket"}`) == "" || metric(t, m, "process_start_time_seconds") == "" {
		t.Error("something is missing")
	}
}

// Whoever may call /admin may name any location, with secrets in it.
func TestLabelsAreFewAndHoldNoSecrets(t *testing.T) {
	m := NewMetrics("v1")
	for i := range 10 * maxLocations {
		m.Backup(fmt.Sprintf("s3://user:canary@host/bucket%d?secretKey=canary#canary", i), nil, 0, errors.New("failed"))
	}
	m.Backup("s3:///bucket?secretKey=canary", nil, 0, errors.New("failed"))
	m.Backup("s3://%zz?secretKey=canary", nil, 0, errors.New("failed"))
	m.Restore("/dir\xff", 0, nil)
	m.Verify("", report(host.VerifyDeep, ""), 0, nil)
	text := page(t, m)
	if strings.Contains(text, "canary") {
		t.Error("a secret is shown")
	}
	if n := strings.Count(text, "\nbrock_backups_total{"); n != maxLocations+1 {
		t.Errorf("%d locations; want %d", n, maxLocations+1)
	}
	if got := metric(t, m, `brock_backups_total{location="other",result="failure"}`); got != fmt.Sprint(9*maxLocations+2) {
		t.Errorf("the others are %s", got)
	}
}

func TestCoverage(t *testing.T) {
	m := NewMetrics("v1")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	m.now = func() time.Time { return now }
	const at = "/backups"
	covers := func(want string) {
		t.Helper()
		if got := metric(t, m, `brock_verify_coverage_ratio{location="/backups"}`); got != want {
			t.Errorf("coverage %q; want %q", got, want)
		}
	}
	all := []manifest.Manifest{*taken("a", 1), *taken("a", 2), *taken("b", 1)}
	m.Verify(at, report(host.VerifyDeep, "", &all[0]), 0, nil)
	covers("") // of an unknown number
	m.Listed(at, all)
	covers("0.3333333333333333")
	m.Verify(at, report(host.VerifyShallow, "", &all[2]), 0, nil)
	covers("0.3333333333333333")
	m.Verify(at, report(host.VerifyRestore, "", &all[0], &all[1]), 0, nil)
	covers("0.6666666666666666")
	m.Backup(at, &host.BackupResult{Manifest: taken("b", 2)}, 0, nil)
	covers("0.5")
	m.Verify(at, report(host.VerifyDeep, "a/2", &all[0], &all[1]), 0, nil)
	covers("0.25")
	if got := metric(t, m, `brock_verify_damaged_backups{location="/backups"}`); got != "1" {
		t.Errorf("%s are damaged", got)
	}
	m.Verify(at, report(host.VerifyDeep, "", &all[2]), 0, nil)
	m.Verify(at, report(host.VerifyShallow, "", &all[0], &all[1]), 0, nil)
	m.Listed(at, append(all, *taken("b", 2)))
	if got := metric(t, m, `brock_verify_damaged_backups{location="/backups"}`); got != "1" {
		t.Errorf("after a look at another series, and a shallow one, %s are damaged", got)
	}
	now = now.Add(Covered - time.Hour)
	m.Verify(at, report(host.VerifyDeep, "", &all[2], taken("b", 2)), 0, nil)
	covers("0.75")
	now = now.Add(2 * time.Hour) // what was verified before does not count any more
	covers("0.5")
	m.Prune(at, &host.PruneResult{Series: []host.PrunedSeries{{ID: "a"}}, Kept: []host.KeptSeries{{ID: "b"}}}, 0, nil)
	covers("1")
	if got := metric(t, m, `brock_verify_damaged_backups{location="/backups"}`); got != "0" {
		t.Errorf("when they are removed, %s are damaged", got)
	}
	const full = `brock_backup_last_success_timestamp_seconds{location="/backups",type="full"}`
	before := metric(t, m, full)
	m.Listed(at, nil) // somebody has removed them
	covers("")
	if got := metric(t, m, full); got != "" || before == "" {
		t.Errorf("the latest full backup is of %q, and when there is none of %q", before, got)
	}
}

// A backup that a wrong clock has dated in the future does not hide that there are no later ones.
func TestLastSuccessIsNotInTheFuture(t *testing.T) {
	m := NewMetrics("v1")
	m.now = func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }
	ahead := *taken("c", 1)
	ahead.Path = "dgraph.20361121.000000.000"
	m.Listed("/backups", []manifest.Manifest{*taken("a", 1), ahead})
	if got := metric(t, m, `brock_backup_last_success_timestamp_seconds{location="/backups",type="full"}`); got != "1.7952228e+09" {
		t.Errorf("the last full backup is of %s", got)
	}
}

func TestVerificationsAreRemembered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verified.json")
	const at = "/backups"
	all := []manifest.Manifest{*taken("a", 1), *taken("a", 2)}
	m := NewMetrics("v1")
	m.Keep(file, nil)
	m.Listed(at, all)
	m.Verify(at, report(host.VerifyDeep, "", &all[0]), 0, nil)
	m.Verify(at, report(host.VerifyDeep, "b/1", taken("b", 1)), 0, nil)
	const last, ratio = `brock_verify_last_success_timestamp_seconds{location="/backups"}`, `brock_verify_coverage_ratio{location="/backups"}`
	want := metric(t, m, last)

	again := NewMetrics("v1")
	again.Keep(file, nil)
	if got := metric(t, again, last); got != want || want == "" {
		t.Errorf("after a restart the last verification is %q; want %q", got, want)
	}
	if got := metric(t, again, `brock_verify_damaged_backups{location="/backups"}`); got != "1" {
		t.Errorf("after a restart %s are damaged", got)
	}
	again.Listed(at, all)
	if got := metric(t, again, ratio); got != "0.5" {
		t.Errorf("after a restart the coverage is %q", got)
	}

	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"locations":{"x":null,"y":{},"z":{"backups":{"a":null}}}}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m := NewMetrics("v1")
		m.Keep(file, nil)
		m.Listed("y", all)
		m.Verify("z", report(host.VerifyDeep, "", &all[0]), 0, nil)
		page(t, m)
	}
}

func TestNoMetrics(t *testing.T) {
	var m *Metrics
	m.Backup("a", nil, 0, nil)
	m.Restore("a", 0, nil)
	m.Verify("a", nil, 0, nil)
	m.Prune("a", nil, 0, nil)
	m.Listed("a", nil)
}
