package manifest

import (
	"bytes"
	"slices"
)

// AppendMaster adds backups to a master manifest, each in its own form. What old
// holds stays byte for byte and in its order; backups that it lists already are left
// out, and if that is all of them, old comes back as it was. No master yet is nil.
//
// Dgraph takes the last entry for the latest backup. So a backup goes before the
// one that follows it in ms, if old lists that, and to the end otherwise. A backup that old lists
// differently, and a place in a series that another backup has, are ErrCorrupt.
func AppendMaster(old []byte, ms ...*Manifest) ([]byte, error) {
	var doc document
	if old != nil {
		var err error
		if doc, err = parseDocument(old, MaxMasterSize); err != nil {
			return nil, err
		}
		if !doc.master {
			return nil, unfit("%s belongs to one backup of Dgraph 20.x, which lies here by itself", MasterName)
		}
	}
	taken := newPlaces(doc.backups)
	var add [][]byte
	before := make([][][]byte, len(doc.listed)) // by the entry that they go before
	for _, m := range ms {
		listed, err := taken.have(m)
		if err != nil {
			return nil, err
		}
		if at := doc.at(m.Path); at >= 0 {
			before[at], add = append(before[at], add...), nil
		}
		if listed {
			continue
		}
		data, err := m.encodeEntry()
		if err != nil {
			return nil, inside(err, "backup %s", m.ID())
		}
		add = append(add, data)
		taken.add(m)
	}
	data := doc.insert(old, bytes.Join(add, []byte{','}))
	for i, entries := range slices.Backward(before) {
		if len(entries) > 0 {
			data = doc.insertBefore(data, i, bytes.Join(entries, []byte{','}))
		}
	}
	return data, nil
}

// at returns which of the entries tells of a directory, or -1.
func (doc *document) at(path string) int {
	return slices.IndexFunc(doc.listed, func(l listed) bool { return l.path == path && path != "" })
}

// insertBefore puts entries before one that is there. Behind it, data may have
// changed already.
func (doc *document) insertBefore(data []byte, i int, entries []byte) []byte {
	head, tail := data[:doc.listed[i].begin], data[doc.listed[i].begin:]
	if i == 0 {
		return slices.Concat(head, entries, []byte{','}, tail)
	}
	return slices.Concat(head, []byte{','}, entries, tail)
}

// insert puts entries behind the last one of old.
func (doc *document) insert(old, entries []byte) []byte {
	head, tail := old, []byte(nil)
	if old != nil {
		head, tail = old[:doc.end], old[doc.end:]
	}
	switch {
	case old == nil:
		return slices.Concat([]byte(`{"Manifests":[`), entries, []byte("]}\n"))
	case len(entries) == 0:
		return old
	case doc.filled:
		return slices.Concat(head, []byte{','}, entries, tail)
	}
	if empty, ok := bytes.CutSuffix(head, []byte("null")); ok {
		return slices.Concat(empty, []byte{'['}, entries, []byte{']'}, tail)
	}
	return slices.Concat(bytes.TrimSuffix(head, []byte{']'}), entries, []byte{']'}, tail)
}

// places are the directories of a location with what lies there, and those that
// the backups of each series take.
type places struct {
	paths map[string]*Manifest
	runs  map[string]map[int]*Manifest // of a series, by number
}

func newPlaces(ms []Manifest) *places {
	p := &places{map[string]*Manifest{}, map[string]map[int]*Manifest{}}
	for i := range ms {
		p.add(&ms[i])
	}
	return p
}

func (p *places) add(m *Manifest) {
	p.paths[m.Path] = m
	if m.Full || p.runs[m.Series] == nil { // Dgraph may give a name to a second series
		p.runs[m.Series] = map[int]*Manifest{}
	}
	p.runs[m.Series][m.Number] = m
}

// have reports whether m is there already. It fails if something else is.
func (p *places) have(m *Manifest) (bool, error) {
	if there := p.paths[m.Path]; there != nil {
		if diff := difference(there, m); diff != "" {
			return false, corrupt("%s says of directory %s what its commit record does not: %s", MasterName, quote(m.Path), diff)
		}
		return true, nil
	}
	if there := p.runs[m.Series][m.Number]; there != nil && (!m.Full || m.Record != nil) {
		return false, corrupt("backup %s is in directory %s and in %s", m.ID(), quote(there.Path), quote(m.Path))
	}
	return false, nil
}
