package frame

import (
	"bytes"
	"hash/crc32"
	"testing"
)

func TestConcat(t *testing.T) {
	data := bytes.Repeat([]byte("some bytes, and not always the same "), 100000)
	sizes := []int{0, 1, 2, 3, 255, 256, 1 << 14, Size - 1, Size, Size + 1}
	for _, a := range sizes {
		for _, b := range sizes {
			whole := data[:a+b]
			got := concat(crc32.Checksum(whole[:a], castagnoli), crc32.Checksum(whole[a:], castagnoli), b)
			if want := crc32.Checksum(whole, castagnoli); got != want {
				t.Errorf("%d and %d bytes: %08x; want %08x", a, b, got, want)
			}
		}
	}
}
