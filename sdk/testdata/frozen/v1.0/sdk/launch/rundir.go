package launch

import (
	"fmt"
	"os"

	"github.com/brock-backup/brock/sdk"
)

// A unix socket's path has at most this many bytes, on the strictest of systems.
const socketPathLimit = 103

// longestSocket is the longest name that a plugin gives its socket.
const longestSocket = "/plugin1234567890"

const runDirPrefix = "brock-run-"

// makeRunDir makes the directory for a plugin's socket. Only this user may enter
// it, whatever the umask makes of the socket itself. The host has it locked for
// as long as the file is open: those of hosts that were killed are removed.
func makeRunDir() (string, *os.File, error) {
	collectRunDirs()
	dir, err := os.MkdirTemp("", runDirPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("run directory: %w", err)
	}
	if n := len(dir) + len(longestSocket); n > socketPathLimit {
		_ = os.Remove(dir)
		return "", nil, sdk.WithHint(
			fmt.Errorf("a socket in directory %s would have a path of %d bytes, %d are possible: %w",
				os.TempDir(), n, socketPathLimit, sdk.ErrInvalid),
			"set TMPDIR to a directory with a shorter path")
	}
	return dir, lockRunDir(dir), nil
}
