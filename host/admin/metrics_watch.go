package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brock-backup/brock/host/plugindir"
	"github.com/brock-backup/brock/host/schedule"
	"github.com/brock-backup/brock/host/store"
)

var (
	storeMaxTs      = ofGauge("brock_store_max_ts", "Timestamp of the last commit or backup.")
	storeMaxUID     = ofGauge("brock_store_max_uid", "The highest uid that was given out.")
	storeGroups     = ofGauge("brock_store_groups", "Groups of the database.")
	storePredicates = ofGauge("brock_store_predicates", "Predicates of the database, by group.", "group")
	storeDraining   = ofGauge("brock_store_draining", "Whether writes are refused.")

	pluginRestarts = ofCounter("brock_plugin_restarts_total", "How often a plugin was started again after a crash.", "plugin")
	pluginState    = ofGauge("brock_plugin_state", "What a plugin is doing: the state that it is in is 1.", "plugin", "state")

	scheduleNext     = ofGauge("brock_schedule_next_run_timestamp_seconds", "When a schedule runs next; absent while it does. In the past: it waits for others.", "schedule")
	scheduleGood     = ofGauge("brock_schedule_last_success_timestamp_seconds", "When a run ended that succeeded, 0 if none has.", "schedule")
	scheduleStarted  = ofGauge("brock_schedule_last_start_timestamp_seconds", "When the latest run began, 0 if none has.", "schedule")
	scheduleRunning  = ofGauge("brock_schedule_running", "Whether a schedule runs.", "schedule")
	scheduleFailures = ofGauge("brock_schedule_failures", "Runs in a row that have failed.", "schedule")
	scheduleMissed   = ofCounter("brock_schedule_missed_total", "Moments at which a schedule should have run and did not, since the host began: it was down, or another run took too long.", "schedule")
	scheduleRuns     = ofCounter("brock_schedule_runs_total", "Runs that have ended since the host began, by result: success or failure.", "schedule", "result")
)

// WatchStore shows how far a store has come.
func (m *Metrics) WatchStore(s *store.Store) {
	m.reg.MustRegister(collector(func(out chan<- prometheus.Metric) {
		state := s.State()
		storeMaxTs.send(out, float64(state.MaxTs))
		storeMaxUID.send(out, float64(state.MaxUID))
		storeGroups.send(out, float64(len(state.Groups)))
		predicates := map[uint32]int{}
		for _, p := range s.Schema() {
			predicates[p.Group]++
		}
		for _, group := range state.Groups {
			storePredicates.send(out, float64(predicates[group]), decimal(group))
		}
		storeDraining.send(out, truth(s.Draining()))
	}))
}

// WatchPlugins shows what the plugins do.
func (m *Metrics) WatchPlugins(d *plugindir.Dirs) {
	m.reg.MustRegister(collector(func(out chan<- prometheus.Metric) { collectPlugins(out, d.Running()) }))
}

func collectPlugins(out chan<- prometheus.Metric, all []plugindir.Running) {
	sum := map[string]plugindir.Running{} // two directories may have one of the same name
	for _, p := range all {
		p.Restarts += sum[p.Name].Restarts
		sum[p.Name] = p
	}
	for name, p := range sum {
		pluginRestarts.send(out, float64(p.Restarts), name)
		for _, state := range plugindir.States() {
			pluginState.send(out, truth(p.State == state), name, string(state))
		}
	}
}

// WatchSchedule shows what a scheduler does.
func (m *Metrics) WatchSchedule(s *schedule.Scheduler) {
	m.reg.MustRegister(collector(func(out chan<- prometheus.Metric) { collectSchedule(out, s.Status()) }))
}

func collectSchedule(out chan<- prometheus.Metric, all []schedule.Status) {
	for _, s := range all {
		scheduleNext.sendTime(out, s.Next, s.Name)
		scheduleGood.send(out, max(seconds(s.Succeeded), 0), s.Name)
		scheduleStarted.send(out, max(seconds(s.Started), 0), s.Name)
		scheduleRunning.send(out, truth(s.Running), s.Name)
		scheduleFailures.send(out, float64(s.Failures), s.Name)
		scheduleMissed.send(out, float64(s.Missed), s.Name)
		scheduleRuns.send(out, float64(s.Runs-s.Failed), s.Name, "success")
		scheduleRuns.send(out, float64(s.Failed), s.Name, "failure")
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// A collector makes metrics when they are asked for.
type collector func(chan<- prometheus.Metric)

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) { c(out) }

// Describe implements [prometheus.Collector]: what there will be is not known before.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// A number describes a metric that is made when it is asked for.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func ofGauge(name, help string, labels ...string) number {
	return number{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func ofCounter(name, help string, labels ...string) number {
	return number{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

func (n number) send(out chan<- prometheus.Metric, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(n.desc, n.kind, value, labels...)
}

// sendTime sends a moment, unless it is none.
func (n number) sendTime(out chan<- prometheus.Metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		n.send(out, seconds(t), labels...)
	}
}
