package s3store

import (
	"os"
	"runtime/debug"
	"sync"

	"github.com/brock-backup/brock/plugins/internal/chunk"
)

const (
	chunkSize = chunk.Size // bytes

	// memoryLimit is what parts and what was read ahead take together, over all
	// Stores of the process. The parts that are being filled may take more if
	// they must.
	memoryLimit = 48 << 20 // bytes

	// aheadLimit is as much of it as reading ahead may take.
	aheadLimit = 24 << 20 // bytes

	// heapLimit is from which on the garbage collector works harder for the rest:
	// what the host has sent ahead of the parts, 8 MiB for each Put, and what was
	// collected too late.
	heapLimit = 56 << 20 // bytes
)

// buffers is the memory of this process.
var buffers = chunk.New(memoryLimit, aheadLimit)

// limitHeap is for the plugin's process, which serves nothing but Stores.
var limitHeap = sync.OnceFunc(func() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
})
