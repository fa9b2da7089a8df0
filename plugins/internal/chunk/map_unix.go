//go:build unix

package chunk

import "syscall"

// newChunk maps memory; where that fails, the heap has some.
func newChunk() []byte {
	c, err := syscall.Mmap(-1, 0, Size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, Size)
	}
	return c
}

// freeChunk unmaps what newChunk has mapped: package syscall knows which.
func freeChunk(c []byte) { _ = syscall.Munmap(c[:Size]) }
