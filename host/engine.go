package host

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// An Engine backs up, restores and verifies. Its zero value works; every field
// is a preference.
type Engine struct {
	Logger   hclog.Logger   // warnings and notes; nothing if nil
	Progress func(Progress) // called about five times a second, and once with Done
	Memory   int64          // bytes of buffers, 256 MiB if 0; Badger's own caches come on top
	Workers  int            // ranges read or files decoded at once; one per processor if 0

	// Background lets the rest of the program, and of the machine, go before a backup's
	// workers. It takes a few more GOMAXPROCS than there are processors.
	Background bool

	TempDir string // for what does not fit into memory; a restore uses its target's file system instead
	Now     func() time.Time
	Version string // of the program, for the commit record
}

// A Location is a place that holds backups.
type Location struct {
	URI         string // for messages: without secrets
	Destination sdk.Destination
}

// A Key names the provider that holds the key of encrypted backups.
type Key struct {
	Name     string // of the provider, for messages and the commit record
	Provider sdk.KeyProvider
}

// Progress tells how far an operation has come.
type Progress struct {
	Op         string // "backup", "restore", "verify", "export"
	Group      uint32
	Bytes      int64 // done so far: of a backup uncompressed, else as stored
	TotalBytes int64 // estimated; 0 if not known
	Entries    int64
	Done       bool
}

func (e *Engine) log() hclog.Logger {
	if e.Logger == nil {
		return hclog.NewNullLogger()
	}
	return e.Logger
}

func (e *Engine) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

func (e *Engine) memory() int64 {
	if e.Memory <= 0 {
		return 256 << 20
	}
	return max(e.Memory, 32<<20)
}
