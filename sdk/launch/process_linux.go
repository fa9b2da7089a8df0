package launch

import "golang.org/x/sys/unix"

// noCores keeps a plugin, in whatever language, from dumping core: its memory
// will hold secrets. It knows none before it has greeted.
func noCores(pid int) { _ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) }

// timerSlack is by how much a plugin's timers may be late, in nanoseconds; Linux's own is
// 50,000. Go looks after its threads every 20,000 ns while one is at work, and a plugin that waits
// for its storage between any two reads starts again and again with that: it was a tenth of
// what a Get cost.
const timerSlack = 200_000

// slackly has what f starts be late by timerSlack. It is the thread that a process takes it
// from.
func slackly(f func() error) error {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0)
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // 0 is what it was
	return f()
}
