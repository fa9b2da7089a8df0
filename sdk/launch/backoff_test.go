package launch

import (
	"testing"
	"time"
)

func TestBackoffDoubles(t *testing.T) {
	for jitter, want := range map[float64][]time.Duration{
		0:   {50e6, 100e6, 200e6, 400e6, 800e6, 1600e6},
		0.5: {75e6, 150e6, 300e6, 600e6, 1200e6, 2400e6},
	} {
		b := newBackoff(func() float64 { return jitter })
		now := time.Now()
		for i, d := range want {
			if got, again := b.crashed(now, 0); got != d || !again {
				t.Errorf("jitter %v: crash %d: %v, %v; want %v, true", jitter, i+1, got, again, d)
			}
		}
		if _, again := b.crashed(now, 0); again {
			t.Errorf("jitter %v: no crash is the last", jitter)
		}
	}
}

func TestBackoffForgetsAfterAStableLife(t *testing.T) {
	b := newBackoff(func() float64 { return 0 })
	now := time.Now()
	for i := range 50 {
		lived := time.Second
		if i%5 == 0 {
			lived = 10 * time.Second
		}
		now = now.Add(lived)
		d, again := b.crashed(now, lived)
		if want := b.first << (i % 5) / 2; d != want || !again {
			t.Fatalf("crash %d: %v, %v; want %v, true", i, d, again, want)
		}
	}
}

// However long the starts of a plugin take that fail, and its lives that are
// too short: a minute after its first crash it is given up.
func TestCrashLoopEndsWithinAMinute(t *testing.T) {
	const start, kill = 10 * time.Second, 4 * time.Second // the default, and what Close may take
	for _, lived := range []time.Duration{0, 10 * time.Millisecond, 3 * time.Second, 9999 * time.Millisecond} {
		for _, started := range []time.Duration{0, time.Second, start + kill} {
			b := newBackoff(func() float64 { return 1 })
			now := time.Now()
			first := now
			n := 1
			for d, again := b.crashed(now, lived); again; d, again = b.crashed(now, lived) {
				now = now.Add(d + started + lived)
				n++
			}
			if took := now.Sub(first); took > time.Minute || n < 3 {
				t.Errorf("lives of %v after starts of %v: %d crashes in %v; want at least 3, in a minute", lived, started, n, took)
			}
		}
	}
}
