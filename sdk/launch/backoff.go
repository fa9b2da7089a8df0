package launch

import "time"

// A backoff says when a plugin that has crashed may be started again, and when
// it must not be any more. It is a crash, too, if a plugin does not come up.
//
// With the numbers of newBackoff a plugin that crashes again and again is given
// up within a minute of its first crash, whether it ends at once, uses up the
// time for its start, or lives for a few seconds each time.
type backoff struct {
	first  time.Duration  // the wait after the first crash; it doubles with each
	limit  int            // crashes in a row that are too many
	span   time.Duration  // three crashes are too many after that long
	stable time.Duration  // a plugin that lived that long has not crashed in a row
	jitter func() float64 // in [0, 1)

	crashes int       // in a row
	since   time.Time // the first of them
}

func newBackoff(jitter func() float64) backoff {
	return backoff{
		first:  100 * time.Millisecond,
		limit:  7,
		span:   30 * time.Second,
		stable: 10 * time.Second,
		jitter: jitter,
	}
}

// crashed returns how long to wait before the next start, at least half of what
// the number of crashes asks for, or that there must be none.
func (b *backoff) crashed(now time.Time, lived time.Duration) (wait time.Duration, again bool) {
	if lived >= b.stable {
		b.crashes = 0
	}
	if b.crashes++; b.crashes == 1 {
		b.since = now
	}
	if b.crashes >= b.limit || b.crashes >= 3 && now.Sub(b.since) >= b.span {
		return 0, false
	}
	half := b.first << (b.crashes - 1) / 2
	return half + time.Duration(b.jitter()*float64(half)), true
}
