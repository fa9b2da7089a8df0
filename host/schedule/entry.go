package schedule

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// An entry is a schedule and how far it has come.
type entry struct {
	Schedule
	rec     record
	seed    uint64
	running bool
	waiting time.Time // since then it is due, and another one runs; zero: it is not

	runs, failed, missed uint64 // since the scheduler began
}

// Of the wait after an attempt that failed.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// backoff is the wait after so many attempts that failed in a row.
func backoff(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(firstRetry<<min(failures-1, 10), lastRetry)
}

// plan returns the slot that the next attempt is for, and when that may begin, which is not
// before now. It is zero if there is none for years.
func (e *entry) plan(now time.Time) (slot, at time.Time) {
	if slot = e.ready(now); slot.After(e.rec.Slot) {
		return slot, now
	}
	next := e.slots.next(e.rec.Slot.In(now.Location()))
	if e.rec.Slot.IsZero() {
		next = e.slots.next(now)
	}
	if !next.IsZero() {
		at = next.Add(e.delay(next))
	}
	if !e.rec.Done && !e.rec.Slot.IsZero() {
		wait := backoff(e.rec.Failures)
		retry := later(now, e.rec.Ended.Add(wait).In(now.Location()))
		if at.IsZero() || retry.Before(at) {
			return e.rec.Slot, retry
		}
	}
	return next, at
}

// ready returns the latest slot whose time has come, jitter included, or zero.
func (e *entry) ready(now time.Time) time.Time {
	slot := e.slots.last(now)
	if !slot.IsZero() && slot.Add(e.delay(slot)).After(now) {
		slot = e.slots.last(slot.Add(-time.Nanosecond))
	}
	return slot
}

// delay is how much later than its slot a run begins: always the same for one slot.
func (e *entry) delay(slot time.Time) time.Duration {
	if e.Jitter <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.Name))
	_, _ = h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, e.seed), uint64(slot.Unix())))
	return time.Duration(h.Sum64()%uint64(e.Jitter/Duration(time.Second)+1)) * time.Second % time.Duration(e.Jitter)
}

// begin notes that an attempt begins.
func (e *entry) begin(slot, now time.Time) {
	if slot.After(e.rec.Slot) {
		if !e.rec.Slot.IsZero() {
			e.missed += uint64(max(e.slots.count(e.rec.Slot.In(now.Location()), slot)-1, 0))
		}
		e.rec.Slot = slot
	}
	e.rec.Started, e.rec.Ended, e.rec.Done = now, time.Time{}, false
	e.running, e.waiting = true, time.Time{}
}

// patience is how long what is due lets others go first.
const patience = time.Hour

// impatient reports whether an entry has waited for too long.
func (e *entry) impatient(now time.Time) bool {
	return !e.waiting.IsZero() && now.Sub(e.waiting) >= patience
}

// end notes how an attempt has ended. Slots that came meanwhile are passed over after a
// success, and not after a failure.
func (e *entry) end(now time.Time, err error, stopped bool) {
	e.running = false
	e.rec.Ended = now
	switch {
	case err == nil:
		e.runs++
		e.rec.Succeeded, e.rec.Done, e.rec.Failures = now, true, 0
		if slot := e.ready(now); slot.After(e.rec.Slot) {
			e.missed += uint64(e.slots.count(e.rec.Slot.In(now.Location()), slot))
			e.rec.Slot = slot
		}
	case stopped: // by us: another attempt is wanted as soon as may be
	default:
		e.runs++
		e.failed++
		e.rec.Failures++
	}
}

// resume takes over what was written down before the host ended. An attempt without an
// end was killed, maybe by what it did.
func (e *entry) resume(r record) {
	e.rec = r
	if !r.Done && !r.Slot.IsZero() && r.Ended.IsZero() {
		e.rec.Ended = r.Started
		e.rec.Failures++
	}
}

// rewind takes back what is in the future, because the clock was wrong. If it was by more
// than a slot, those from now on have not been; it reports whether it was.
func (e *entry) rewind(now time.Time) bool {
	e.rec.Ended = earlier(e.rec.Ended, now)
	if next := e.slots.next(now); e.running || next.IsZero() || !next.Before(e.rec.Slot) {
		return false
	}
	e.rec.Slot = e.slots.last(now)
	e.rec.Succeeded = earlier(e.rec.Succeeded, now)
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
