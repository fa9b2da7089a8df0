//go:build unix

package launch

import (
	"os"
	"slices"
	"strings"

	"github.com/brock-backup/brock/sdk/internal/wire"
	"github.com/brock-backup/brock/sdk/internal/wire/wiretest"
)

// All tests, and their plugins, find out who uses a buffer after having freed it,
// or frees one twice. Benchmarks measure the real pool.
func init() {
	benchmark := slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.bench=") })
	if role := os.Getenv(roleEnv); !benchmark && role != "bench" {
		wire.Pool = wiretest.NewPoison()
	}
}
