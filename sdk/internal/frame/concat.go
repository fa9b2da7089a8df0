package frame

import "hash/crc32"

// concat returns the checksum of two runs of bytes, one after the other, from
// that of each and the size of the second.
//
// A checksum is a polynomial over one bit, modulo Castagnoli's: n bytes more
// multiply it by x to the power of 8n.
func concat(first, second uint32, size int) uint32 {
	for i := 0; size > 0; i, size = i+1, size>>1 {
		if size&1 == 1 {
			first = multiply(first, powers[i])
		}
	}
	return first ^ second
}

// powers[i] is x to the power of 8 times 2 to the power of i.
var powers = func() (p [63]uint32) {
	p[0] = 1 << (31 - 8) // the highest bit is x to the power of 0
	for i := 1; i < len(p); i++ {
		p[i] = multiply(p[i-1], p[i-1])
	}
	return p
}()

func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 == 1 {
			product ^= b
		}
		b = b>>1 ^ crc32.Castagnoli*(b&1)
	}
	return product
}
