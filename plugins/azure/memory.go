package main

import "github.com/brock-backup/brock/plugins/internal/chunk"

const (
	chunkSize = chunk.Size // bytes

	// memoryLimit is what blocks take together, in the whole process. Those that
	// are being filled may take more if they must.
	memoryLimit = 48 << 20 // bytes
)

// buffers is the memory of this process. Nothing is read ahead.
var buffers = chunk.New(memoryLimit, 0)
