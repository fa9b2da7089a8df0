//go:build !unix

package main

func newChunk() []byte { return make([]byte, chunkSize) }

func freeChunk([]byte) {}
