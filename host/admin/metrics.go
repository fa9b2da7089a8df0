package admin

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/manifest"
	"github.com/brock-backup/brock/host/schedule"
)

// Metrics count what a running host does, for Prometheus. A nil *Metrics counts nothing.
//
// A location is its URI without user, password and settings. Of more locations than
// maxLocations, which anybody may name who may call /admin, the rest are one, "other".
type Metrics struct {
	reg *prometheus.Registry
	now func() time.Time

	backupTime, restoreTime, verifyTime, pruneTime *prometheus.HistogramVec // by stage, or by nothing
	backups, restores, verifies, prunes            *prometheus.CounterVec   // by location and result
	backupGood                                     *prometheus.GaugeVec     // by location and type
	backupBad, restoreGood, pruneGood              *prometheus.GaugeVec     // by location
	backupBytes, backupEntries                     *prometheus.GaugeVec     // by location and type
	backupDamaged                                  *prometheus.GaugeVec     // by location
	pruneSeries, pruneBytes                        *prometheus.CounterVec   // by location

	mu     sync.Mutex
	stages map[string]bool
	places map[string]*place // by location
	path   string            // of the file that keeps them; "" if none does
	log    hclog.Logger
}

const (
	maxLocations = 64
	maxStages    = 16
	otherOnes    = "other"
)

// NewMetrics returns metrics of a program of that version, with those of Go and of the
// process. What else is to be seen in them is added by the Watch methods and by Keep.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		reg: prometheus.NewRegistry(), now: time.Now, stages: map[string]bool{}, places: map[string]*place{}, log: hclog.NewNullLogger(),

		backupTime:  durations("brock_backup_duration_seconds", "How long the stages of backups took that came to an end; all of them together are total.", "stage"),
		restoreTime: durations("brock_restore_duration_seconds", "How long restores took that came to an end."),
		verifyTime:  durations("brock_verify_duration_seconds", "How long verifications took that came to an end."),
		pruneTime:   durations("brock_prune_duration_seconds", "How long prunings took that came to an end."),

		backups:  counter("brock_backups_total", "Backups that have ended, by result: success, failure or cancelled.", "location", "result"),
		restores: counter("brock_restores_total", "Restores that have ended, by result: success, failure or cancelled.", "location", "result"),
		verifies: counter("brock_verifications_total", "Verifications that have ended, by result: success, damaged, failure or cancelled.", "location", "result"),
		prunes:   counter("brock_prunes_total", "Prunings that have ended, by result: success, failure or cancelled.", "location", "result"),

		backupGood:  gauge("brock_backup_last_success_timestamp_seconds", "When the latest backup was taken, by type: full or incremental.", "location", "type"),
		backupBad:   gauge("brock_backup_last_failure_timestamp_seconds", "When a backup failed for the last time since the host began.", "location"),
		restoreGood: gauge("brock_restore_last_success_timestamp_seconds", "When a restore succeeded for the last time since the host began.", "location"),
		pruneGood:   gauge("brock_prune_last_success_timestamp_seconds", "When a pruning succeeded for the last time since the host began.", "location"),

		backupBytes:   gauge("brock_backup_bytes", "What the latest backup stored, by type.", "location", "type"),
		backupEntries: gauge("brock_backup_entries", "Entries of the latest backup, by type.", "location", "type"),
		backupDamaged: gauge("brock_backup_damaged_keys", "Keys of the database that the latest backup left out because they could not be read.", "location"),
		pruneSeries:   counter("brock_prune_removed_series_total", "Series that were removed.", "location"),
		pruneBytes:    counter("brock_prune_removed_bytes_total", "Bytes of objects that were removed.", "location"),
	}
	info := gauge("brock_build_info", "The version of the program; the value is 1.", "version", "goversion")
	info.WithLabelValues(version, runtime.Version()).Set(1)
	m.reg.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		m.backupTime, m.restoreTime, m.verifyTime, m.pruneTime, m.backups, m.restores, m.verifies, m.prunes,
		m.backupGood, m.backupBad, m.restoreGood, m.pruneGood, m.backupBytes, m.backupEntries, m.backupDamaged,
		m.pruneSeries, m.pruneBytes, collector(m.collectPlaces),
	)
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// durations go from 50 ms to 9 hours.
func durations(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.05, 3, 12)}, labels)
}

// Handler answers what Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second})
}

// Backup tells of a backup that has ended.
func (m *Metrics) Backup(location string, res *host.BackupResult, took time.Duration, err error) {
	if m == nil {
		return
	}
	location = m.location(location)
	m.backups.WithLabelValues(location, result(err)).Inc()
	if err != nil || res == nil {
		if !cancelled(err) {
			m.backupBad.WithLabelValues(location).Set(m.seconds())
		}
		return
	}
	m.backupTime.WithLabelValues("total").Observe(took.Seconds())
	for stage, d := range res.Stages {
		m.backupTime.WithLabelValues(m.stage(stage)).Observe(d.Seconds())
	}
	kind := kindOf(res.Manifest)
	m.backupGood.WithLabelValues(location, kind).Set(m.seconds())
	m.backupBytes.WithLabelValues(location, kind).Set(float64(res.Bytes))
	m.backupEntries.WithLabelValues(location, kind).Set(float64(res.Entries))
	m.backupDamaged.WithLabelValues(location).Set(float64(len(res.Damaged)))
	m.backedUp(location, res.Manifest)
}

func kindOf(man *manifest.Manifest) string {
	if man.Full {
		return string(schedule.Full)
	}
	return string(schedule.Incremental)
}

// Restore tells of a restore that has ended.
func (m *Metrics) Restore(location string, took time.Duration, err error) {
	if m == nil {
		return
	}
	location = m.location(location)
	m.restores.WithLabelValues(location, result(err)).Inc()
	if err == nil {
		m.restoreTime.WithLabelValues().Observe(took.Seconds())
		m.restoreGood.WithLabelValues(location).Set(m.seconds())
	}
}

// Verify tells of a verification that has ended.
func (m *Metrics) Verify(location string, report *host.VerifyReport, took time.Duration, err error) {
	if m == nil {
		return
	}
	location = m.location(location)
	if err != nil || report == nil {
		m.verifies.WithLabelValues(location, result(err)).Inc()
		return
	}
	outcome := result(nil)
	if !report.OK() {
		outcome = "damaged"
	}
	m.verifies.WithLabelValues(location, outcome).Inc()
	m.verifyTime.WithLabelValues().Observe(took.Seconds())
	m.verified(location, report)
}

// Prune tells of a pruning that has ended, other than one that only told what would go.
func (m *Metrics) Prune(location string, res *host.PruneResult, took time.Duration, err error) {
	if m == nil {
		return
	}
	location = m.location(location)
	m.prunes.WithLabelValues(location, result(err)).Inc()
	if err != nil || res == nil {
		return
	}
	m.pruneTime.WithLabelValues().Observe(took.Seconds())
	m.pruneGood.WithLabelValues(location).Set(m.seconds())
	m.pruneSeries.WithLabelValues(location).Add(float64(len(res.Series)))
	m.pruneBytes.WithLabelValues(location).Add(float64(res.Bytes))
	m.pruned(location, res)
}

func result(err error) string {
	switch {
	case err == nil:
		return "success"
	case cancelled(err):
		return "cancelled"
	}
	return "failure"
}

// cancelled reports whether it was we who did not want it any more.
func cancelled(err error) bool { return errors.Is(err, context.Canceled) }

func (m *Metrics) seconds() float64 { return seconds(m.now()) }

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// location is the label of a location.
func (m *Metrics) location(uri string) string {
	label := schedule.Public(uri)
	if hasQuery := strings.IndexByte(label, '?'); hasQuery >= 0 && strings.Contains(label, "://") {
		label = label[:hasQuery]
	}
	const longest = 256
	if len(label) > longest {
		label = label[:longest]
	}
	if label = strings.ToValidUTF8(label, string(utf8.RuneError)); label == "" {
		label = unknownLocation
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.places[label] == nil {
		if len(m.places) >= maxLocations {
			return otherOnes
		}
		m.places[label] = &place{Backups: map[string]*known{}}
	}
	return label
}

// stage is the label of a stage.
func (m *Metrics) stage(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stages[name] && len(m.stages) >= maxStages {
		return otherOnes
	}
	m.stages[name] = true
	return name
}
