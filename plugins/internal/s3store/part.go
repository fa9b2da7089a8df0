package s3store

import (
	"math"
	"sort"
)

// What S3 allows.
const (
	maxParts      = 10_000
	maxPartSize   = 5 << 30 // bytes
	maxObjectSize = 5 << 40 // bytes
)

// flatParts is how many parts of an object whose size is not known have the
// size that was set. There are stores that want equal parts, and 1000 of them
// are enough for most objects.
const flatParts = 1000

// partSizes tells how an object is divided: into parts of one size, and behind
// those into growing ones, so that 10,000 hold 5 TiB.
type partSizes struct {
	base  int64   // bytes in each of the first flat parts
	flat  int     // parts
	ratio float64 // of each part behind those to the one before
}

// newPartSizes divides an object. With a hint that is not 0, as many parts are
// equal as the hint speaks of: they are larger than partSize only if more than
// 5000 would be needed.
func newPartSizes(partSize, hint int64) partSizes {
	p := partSizes{base: partSize, flat: flatParts}
	if hint > partSize*flatParts {
		const equal = maxParts / 2
		p.base = max(p.base, roundUp((hint+equal-1)/equal))
		p.flat = int((hint + p.base - 1) / p.base)
	}
	p.base = min(p.base, maxPartSize)
	return p
}

// grow finds out how the parts must grow. Only objects of many parts need it.
func (p *partSizes) grow() {
	const steps, most = 1 << 20, 1.0 / 64
	ratio := func(i int) float64 { return 1 + most*float64(i)/steps }
	p.ratio = ratio(sort.Search(steps, func(i int) bool {
		p.ratio = ratio(i)
		return p.total() >= maxObjectSize
	}))
}

// of returns the size of part n, counted from 1, in bytes.
func (p *partSizes) of(n int) int64 {
	if n <= p.flat {
		return p.base
	}
	if p.ratio == 0 {
		p.grow()
	}
	size := float64(p.base) * math.Pow(p.ratio, float64(n-p.flat))
	return min(max(p.base, roundUp(int64(min(size, maxPartSize)))), maxPartSize)
}

func (p *partSizes) total() (sum int64) {
	sum = int64(p.flat) * p.base
	for n := p.flat + 1; n <= maxParts && sum < maxObjectSize; n++ {
		sum += p.of(n)
	}
	return sum
}

// roundUp makes whole chunks of a size.
func roundUp(size int64) int64 { return (size + chunkSize - 1) / chunkSize * chunkSize }
