//go:build !unix

package chunk

func newChunk() []byte { return make([]byte, Size) }

func freeChunk([]byte) {}
