// Package schedule reads brock.yaml, and does at its times what that says.
//
// A schedule's times are slots. Each slot is begun at most once, by one run or by a few
// attempts until one succeeds; what stands in the file Scheduler keeps says which slot
// that was. A slot that has passed without a run is missed: because the host was down, the
// clock leapt, or another run took too long. However many were missed, the schedule runs
// once, for the latest of them. One that has never run has missed all of its slots, and
// therefore runs at once.
//
// Backups run one after another, full ones first. Verifications and prunings run one
// after another as well, let backups go first, and hold up none. What has waited for an
// hour is the next to begin.
//
// The file is JSON, and is replaced as a whole before and after each run:
//
//	{"version": 1, "seed": 7, "schedules": {"hourly": {
//	  "slot": "2026-11-21T16:00:00Z", "started": "2026-11-21T16:00:00Z", "ended": "2026-11-21T16:01:07Z",
//	  "succeeded": "2026-11-21T16:01:07Z", "done": true, "failures": 0}}}
//
// A run that has no end there was killed with its host, and is attempted again.
package schedule
