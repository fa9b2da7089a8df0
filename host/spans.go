package host

import (
	"bytes"
	"slices"

	"github.com/brock-backup/brock/host/backupfile"
)

// spanKeys is how many keys a span holds at most. Where a full backup cuts them, it does
// so with its blocks, so that a span that differs costs the reading of few.
const spanKeys = 16 << 10

// A spanner sums up keys in spans. They come in order, except that cut may be followed
// by others.
type spanner struct {
	sum   *backupfile.KeySum
	spans []backupfile.Span
	keys  int64 // of the current span
}

func newSpanner(dataKey []byte) *spanner {
	return &spanner{sum: backupfile.NewKeySum(dataKey), spans: []backupfile.Span{}}
}

// cut ends the current span.
func (s *spanner) cut() {
	if s.keys > 0 {
		last := &s.spans[len(s.spans)-1]
		last.Keys, last.Sum = s.keys, s.sum.Sum()
		s.sum.Reset()
		s.keys = 0
	}
}

func (s *spanner) add(key []byte, version uint64) {
	if s.keys == spanKeys {
		s.cut()
	}
	if s.keys == 0 {
		s.spans = append(s.spans, backupfile.Span{Start: bytes.Clone(key), Version: version})
	}
	if last := &s.spans[len(s.spans)-1]; s.keys == 0 || version > last.NewestVersion {
		last.Newest, last.NewestVersion = append(last.Newest[:0], key...), version
	}
	s.sum.Add(key)
	s.keys++
}

// merge takes over what another one has of other keys.
func (s *spanner) merge(o *spanner) {
	s.cut()
	o.cut()
	s.spans = append(s.spans, o.spans...)
}

// done returns all spans in order.
func (s *spanner) done() []backupfile.Span {
	s.cut()
	slices.SortFunc(s.spans, func(a, b backupfile.Span) int { return bytes.Compare(a.Start, b.Start) })
	return s.spans
}

// A spanDiff compares the keys that a database had at a backup, as its spans sum
// them up, with those that it has now.
type spanDiff struct {
	was     []backupfile.Span
	at      int // the span that keys belong to now
	known   *backupfile.KeySum
	guessed *backupfile.KeySum
	differ  []int // spans whose keys cannot be told to be the same

	kept uint64 // the newest version that a span names and that is still there
}

func newSpanDiff(was []backupfile.Span, dataKey []byte) *spanDiff {
	return &spanDiff{was: was, known: backupfile.NewKeySum(dataKey), guessed: backupfile.NewKeySum(dataKey)}
}

// next reports whether key belongs to a later span than the key before, having
// settled those in between.
func (d *spanDiff) next(key []byte) (moved bool) {
	for d.at+1 < len(d.was) && bytes.Compare(key, d.was[d.at+1].Start) >= 0 {
		d.settle()
		d.at++
		moved = true
	}
	return moved
}

// add adds a key of the current span that there is now, and that there was; or, if
// guessed, of which nothing says whether there was.
func (d *spanDiff) add(key []byte, guessed bool) {
	if guessed {
		d.guessed.Add(key)
	} else {
		d.known.Add(key)
	}
}

// keep notes that the newest version that key had then is version.
func (d *spanDiff) keep(key []byte, version uint64) {
	if len(d.was) == 0 || version <= d.kept {
		return
	}
	s := &d.was[d.at]
	if version == s.Version && bytes.Equal(key, s.Start) || version == s.NewestVersion && bytes.Equal(key, s.Newest) {
		d.kept = version
	}
}

// settle compares one span. Sums that are equal stand for sets that are: then each
// key that there was is one that was added, so that none has vanished. Of keys
// that may or may not have been, all or none are tried.
func (d *spanDiff) settle() {
	want := backupfile.Span{Sum: backupfile.NewKeySum(nil).Sum()}
	if len(d.was) > 0 {
		want = d.was[d.at]
	}
	same := d.known.Sum() == want.Sum
	if d.known.Merge(d.guessed); !same && d.known.Sum() != want.Sum {
		d.differ = append(d.differ, d.at)
	}
	d.known.Reset()
	d.guessed.Reset()
}

// A keyRange is the keys from from up to to, without to. nil: from the first, to the last.
type keyRange struct{ from, to []byte }

func (r keyRange) has(key []byte) bool {
	return bytes.Compare(key, r.from) >= 0 && (r.to == nil || bytes.Compare(key, r.to) < 0)
}

// nearSpans is how many spans may lie between two that are read at once.
const nearSpans = 16

// ranges returns where keys differ.
func (d *spanDiff) ranges() []keyRange {
	var out []keyRange
	last := -1
	for _, i := range d.differ {
		r := d.span(i)
		if n := len(out); n > 0 && i-last <= nearSpans {
			out[n-1].to = r.to
		} else {
			out = append(out, r)
		}
		last = i
	}
	return out
}

// span returns the keys that span i stands for.
func (d *spanDiff) span(i int) (r keyRange) {
	if i > 0 {
		r.from = d.was[i].Start
	}
	if i+1 < len(d.was) {
		r.to = d.was[i+1].Start
	}
	return r
}
