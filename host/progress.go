package host

import (
	"sync"
	"sync/atomic"
	"time"
)

// A meter counts what an operation has done and reports it five times a second.
// A nil meter counts nothing.
type meter struct {
	report  func(Progress)
	op      string
	group   atomic.Uint32
	bytes   atomic.Int64
	total   atomic.Int64
	entries atomic.Int64
	done    chan struct{}
	wg      sync.WaitGroup
}

func (e *Engine) meter(op string) *meter {
	if e.Progress == nil {
		return nil
	}
	m := &meter{report: e.Progress, op: op, done: make(chan struct{})}
	m.wg.Go(m.tick)
	return m
}

func (m *meter) tick() {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			m.report(m.progress(false))
		case <-m.done:
			return
		}
	}
}

func (m *meter) progress(done bool) Progress {
	return Progress{
		Op: m.op, Group: m.group.Load(), Done: done,
		Bytes: m.bytes.Load(), TotalBytes: m.total.Load(), Entries: m.entries.Load(),
	}
}

func (m *meter) add(bytes, entries int64) {
	if m != nil {
		m.bytes.Add(bytes)
		m.entries.Add(entries)
	}
}

func (m *meter) begin(group uint32) {
	if m != nil {
		m.group.Store(group)
	}
}

func (m *meter) expect(total int64) {
	if m != nil {
		m.total.Add(total)
	}
}

// stop ends the reports with a last one.
func (m *meter) stop() {
	if m != nil {
		close(m.done)
		m.wg.Wait()
		m.report(m.progress(true))
	}
}
