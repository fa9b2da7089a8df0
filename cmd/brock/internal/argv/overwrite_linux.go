package argv

import "unsafe"

// overwrite writes over parts of an argument where it lies, which is where
// /proc/PID/cmdline shows it: the strings of os.Args are the process's own memory,
// not copies of it.
func overwrite(arg string, spans []span) {
	memory := unsafe.Slice(unsafe.StringData(arg), len(arg)) //nolint:gosec // the one place where it can be reached
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			memory[i] = 'x'
		}
	}
}
