package badgerdb

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sort"
)

// A cursor walks over sorted items. After an error that is [ErrDamaged] it stands
// behind what is lost, and next goes on from there; item is nil at the end.
type cursor interface {
	seek(key []byte) error
	next() error
	item() *item
	close()
}

// A run is a row of tables that do not overlap: a level, or one table of level 0.
type run []*table

// sortRun puts the tables of a level in key order.
func sortRun(r run) {
	slices.SortFunc(r, func(a, b *table) int { return bytes.Compare(a.first, b.first) })
}

// newer keeps the tables that hold anything newer than since.
func (r run) newer(since uint64) run {
	var out run
	for _, t := range r {
		if t.maxVersion > since {
			out = append(out, t)
		}
	}
	return out
}

// A runCursor walks over the tables of a run, one open at a time.
type runCursor struct {
	tables run
	at     int // index of cur
	cur    *tableCursor
}

func (r run) cursor() *runCursor { return &runCursor{tables: r} }

func (c *runCursor) close() {
	if c.cur != nil {
		c.cur.close()
		c.cur = nil
	}
}

func (c *runCursor) item() *item {
	if c.cur == nil {
		return nil
	}
	return c.cur.item()
}

func (c *runCursor) open(at int) error {
	if c.cur != nil && c.at == at {
		return nil
	}
	c.close()
	c.at = at
	if at >= len(c.tables) {
		return nil
	}
	cur, err := c.tables[at].cursor()
	if err != nil {
		return err
	}
	c.cur = cur
	return nil
}

func (c *runCursor) seek(key []byte) error {
	at := sort.Search(len(c.tables), func(i int) bool { return bytes.Compare(c.tables[i].first, key) >= 0 })
	if at > 0 {
		at-- // key may lie within the table before
	}
	if err := c.open(at); err != nil || c.cur == nil {
		return err
	}
	if err := c.cur.seek(key); err != nil {
		return err
	}
	return c.settle()
}

func (c *runCursor) next() error {
	if c.cur == nil {
		return nil
	}
	if err := c.cur.next(); err != nil {
		return err
	}
	return c.settle()
}

// settle goes on to the next table at the end of one.
func (c *runCursor) settle() error {
	for c.cur != nil && c.cur.item() == nil {
		if err := c.open(c.at + 1); err != nil || c.cur == nil {
			return err
		}
		if err := c.cur.next(); err != nil {
			return err
		}
	}
	return nil
}

// A merge walks over several cursors at once. Where two hold the same version of
// a key, the one that comes first is right: it was written later. But Badger's level
// 0 loses that order when it is compacted into itself. So in Dgraph's databases the whole list
// comes first, which takes the place of the delta of that version when a list is rolled up.
type merge struct {
	all   []cursor
	heap  []ranked
	lists bool
	lost  func(error) error // is told of damage; what it returns ends the walk
}

type ranked struct {
	cursor
	it   *item
	rank int
}

func (m *merge) before(i, j int) bool {
	r, o := &m.heap[i], &m.heap[j]
	if c := r.it.less(o.it); c != 0 {
		return c < 0
	}
	if m.lists {
		if whole := r.it.whole(); whole != o.it.whole() {
			return whole
		}
	}
	return r.rank < o.rank
}

func (m *merge) close() {
	for _, c := range m.all {
		c.close()
	}
}

// item is the current item, nil at the end.
func (m *merge) item() *item {
	if len(m.heap) == 0 {
		return nil
	}
	return m.heap[0].it
}

func (m *merge) seek(key []byte) error {
	m.heap = m.heap[:0]
	for i, c := range m.all {
		if err := m.settle(c, c.seek(key)); err != nil {
			return err
		}
		if it := c.item(); it != nil {
			m.heap = append(m.heap, ranked{c, it, i})
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return nil
}

// settle reports damage and goes on behind it.
func (m *merge) settle(c cursor, err error) error {
	for err != nil {
		if !errors.Is(err, ErrDamaged) {
			return err
		}
		if err := m.lost(err); err != nil {
			return err
		}
		err = c.next()
	}
	return nil
}

// next goes to the next version or key.
func (m *merge) next() error {
	for len(m.heap) > 1 {
		// Whoever holds the same version again is a child of the root.
		twin := 0
		for i := 1; i <= min(2, len(m.heap)-1); i++ {
			if m.heap[i].it.less(m.heap[0].it) == 0 {
				twin = i
				break
			}
		}
		if twin == 0 {
			break
		}
		if err := m.advance(twin); err != nil {
			return err
		}
	}
	return m.advance(0)
}

// advance moves the cursor at heap position i.
func (m *merge) advance(i int) error {
	h := &m.heap[i]
	if err := m.settle(h.cursor, h.next()); err != nil {
		return err
	}
	if h.it = h.item(); h.it == nil {
		last := len(m.heap) - 1
		m.heap[i] = m.heap[last]
		m.heap = m.heap[:last]
		if i == last {
			return nil
		}
	}
	m.down(i)
	return nil
}

func (m *merge) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if r := child + 1; r < len(m.heap) && m.before(r, child) {
			child = r
		}
		if !m.before(child, i) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}

// byAge orders newer table ids first, as those of level 0 take precedence.
func byAge(a, b *table) int { return cmp.Compare(b.id, a.id) }

// skip goes on to the next key after key, of which it may be at any version.
func (m *merge) skip(key []byte) error {
	for it := m.item(); it != nil && bytes.Equal(it.key, key); it = m.item() {
		if err := m.next(); err != nil {
			return err
		}
	}
	return nil
}
