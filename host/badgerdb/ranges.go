package badgerdb

import (
	"bytes"
	"slices"
	"sort"

	"github.com/brock-backup/brock/host/manifest"
)

// A Range is a piece of a group: the keys from From up to To, without To.
type Range struct {
	From, To []byte // nil: from the first key, to the last
	Size     int64  // of its entries, about, as they are stored without compression
}

const (
	minRange = 8 << 20
	maxRange = 32 << 20
)

// A sample says that about size bytes follow from key on.
type sample struct {
	key  []byte
	size int64
}

// Ranges cuts the keys of a group that may hold something newer than since into
// ranges of 8 to 32 MiB, disjoint and ascending. Together they hold every key.
func (s *Source) Ranges(id uint32, since uint64) ([]Range, error) {
	g, err := s.group(id)
	if err != nil {
		return nil, err
	}
	size := min(max(s.opt.Memory/16, minRange), maxRange)
	samples, err := g.samples(s.since(since), size/8)
	if err != nil {
		return nil, err
	}
	if s.kind == manifest.KindBadger {
		return cut(samples, nil, nil, size), nil
	}
	// Parts of long lists are read together with their list, not as keys of their own.
	samples = slices.DeleteFunc(samples, func(p sample) bool { return len(p.key) > 0 && p.key[0] >= prefixPart })
	ranges := cut(samples, nil, []byte{prefixPart}, size)
	return append(ranges, Range{From: []byte{prefixPart + 1}}), nil
}

// cut makes ranges of about size out of sorted samples.
func cut(samples []sample, from, to []byte, size int64) []Range {
	ranges := []Range{{From: from, To: to}}
	for _, p := range samples {
		last := &ranges[len(ranges)-1]
		if last.Size >= size && bytes.Compare(p.key, last.From) > 0 {
			last.To = p.key
			ranges = append(ranges, Range{From: p.key, To: to})
			last = &ranges[len(ranges)-1]
		}
		last.Size += p.size
	}
	return ranges
}

// samples says where the data of the group lies, at every step bytes or so.
func (s *store) samples(since uint64, step int64) ([]sample, error) {
	var out []sample
	for _, r := range s.runs {
		for _, t := range r.newer(since) {
			samples, err := t.samples(step)
			if err != nil {
				return nil, err
			}
			out = append(out, samples...)
		}
	}
	for _, m := range s.mems {
		if m.maxVersion > since {
			out = append(out, m.samples(step)...)
		}
	}
	sort.Slice(out, func(i, j int) bool { return bytes.Compare(out[i].key, out[j].key) < 0 })
	return out, nil
}

func (t *table) samples(step int64) ([]sample, error) {
	n := int((t.size + step - 1) / step)
	if n <= 1 || t.blocks <= 1 {
		return []sample{{t.first, t.size}}, nil
	}
	c, err := t.cursor()
	if err != nil {
		return nil, err
	}
	defer c.close()
	n = min(n, t.blocks)
	out := make([]sample, n)
	for i := range out {
		out[i] = sample{slices.Clone(c.firstKey(i * t.blocks / n)), t.size / int64(n)}
	}
	return out, nil
}

func (m *memtable) samples(step int64) []sample {
	n := int(min(m.size/step+1, int64(len(m.items))))
	out := make([]sample, n)
	for i := range out {
		out[i] = sample{m.items[i*len(m.items)/n].key, m.size / int64(n)}
	}
	return out
}
