package s3store

import "testing"

// An object of 5 TiB fits into 10,000 parts, whatever the first part's size and
// whatever was expected of the object's, and no part is larger than S3 takes.
func TestPartSizes(t *testing.T) {
	const mib, gib, tib = 1 << 20, 1 << 30, 1 << 40
	for _, c := range []struct {
		partSize, hint int64
		first, last    int64 // last of the parts that the hint speaks of
	}{
		{5 * mib, 0, 5 * mib, 5 * mib},
		{5*mib + 1, 0, 5*mib + 1, 5*mib + 1},
		{8 * mib, 0, 8 * mib, 8 * mib},
		{16 * mib, 0, 16 * mib, 16 * mib},
		{16 * mib, 1, 16 * mib, 16 * mib},
		{16 * mib, 16 * gib, 16 * mib, 16 * mib},
		{16 * mib, 60 * gib, 16 * mib, 16 * mib},
		{16 * mib, tib, 210 * mib, 210 * mib},
		{16 * mib, 5 * tib, 1049 * mib, 1049 * mib},
		{16 * mib, 1 << 62, 5 * gib, 5 * gib},
		{512 * mib, 0, 512 * mib, 512 * mib},
		{512 * mib, 5 * tib, 1049 * mib, 1049 * mib},
	} {
		p := newPartSizes(c.partSize, c.hint)
		if got := p.of(1); got != c.first {
			t.Errorf("part size %d, hint %d: the first part has %d bytes, want %d", c.partSize, c.hint, got, c.first)
		}
		var sum int64
		for n := 1; n <= maxParts; n++ {
			size := p.of(n)
			if size < p.of(max(1, n-1)) || size > maxPartSize {
				t.Fatalf("part size %d, hint %d: part %d has %d bytes after %d", c.partSize, c.hint, n, size, p.of(n-1))
			}
			if sum < c.hint && size != c.last {
				t.Fatalf("part size %d, hint %d: part %d at %d has %d bytes, want %d", c.partSize, c.hint, n, sum, size, c.last)
			}
			sum += size
		}
		if sum < maxObjectSize {
			t.Errorf("part size %d, hint %d: 10,000 parts hold %d bytes, want 5 TiB", c.partSize, c.hint, sum)
		}
		if c.hint == 0 && sum > maxObjectSize+maxObjectSize/20 {
			t.Errorf("part size %d: parts grow until they hold %d bytes, want hardly more than 5 TiB", c.partSize, sum)
		}
	}
}
