//go:build !unix

package s3store

func newChunk() []byte { return make([]byte, chunkSize) }

func freeChunk([]byte) {}
