package manifest

import "fmt"

// ParseMaster reads the manifest in the root of a location: every backup that Dgraph
// knows of there, in its order. The entries may be of any version, in one document.
//
// If the location is the directory of one 20.x backup, this is that backup's own
// manifest, and its only backup is returned with an empty Path. Since is known as
// far as the backup before is listed. A summary is read as well; it has no groups.
func ParseMaster(data []byte) ([]Manifest, error) {
	doc, err := parseDocument(data, MaxMasterSize)
	if err != nil {
		return nil, err
	}
	link(doc.backups)
	return doc.backups, nil
}

// A document is a manifest.json of either shape.
type document struct {
	master  bool
	backups []Manifest // one, if it is not a master
	single  entry
	end     int64 // where in a master another entry would go
	filled  bool  // an entry stands in front of end, or else [] or null
	listed  []listed
}

// A listed entry is one element of a master manifest, and where it stands.
type listed struct {
	path       string // "" for an element that says nothing
	begin, end int64
}

func parseDocument(data []byte, limit int) (doc document, err error) {
	r, err := newReader(data, limit)
	if err != nil {
		return doc, err
	}
	var known bool
	err = r.object(func(key string) error {
		if key == "Manifests" {
			doc.master = true
			return doc.entries(r)
		}
		k, err := doc.single.field(r, key)
		known = known || k
		return err
	})
	if err != nil {
		return doc, err
	}
	if err := r.end(); err != nil {
		return doc, err
	}
	switch {
	case doc.master && known:
		return doc, corrupt("both a master manifest and that of one backup")
	case doc.master:
		return doc, nil
	case !known:
		return doc, fmt.Errorf("%w: %w", corrupt("neither a master manifest nor that of a backup"), ErrForeign)
	case doc.single.blank():
		return doc, corrupt("neither a master manifest nor that of a backup")
	}
	m, err := doc.single.manifest()
	m.Single = true
	doc.backups = []Manifest{m}
	return doc, err
}

func (doc *document) entries(r *reader) error {
	err := r.array(func(i int) error {
		begin := r.dec.InputOffset()
		m, blank, err := readEntry(r)
		if err != nil {
			return inside(err, "entry %d", i+1)
		}
		doc.filled, doc.end = true, r.dec.InputOffset()
		doc.listed = append(doc.listed, listed{m.Path, begin, doc.end})
		if blank {
			return nil
		}
		doc.backups = append(doc.backups, m)
		return r.take(512)
	})
	if err != nil {
		return err
	}
	if !doc.filled {
		doc.end = r.dec.InputOffset()
	}
	return nil
}

// readEntry reads one element of a master manifest.
func readEntry(r *reader) (m Manifest, blank bool, err error) {
	var e entry
	err = r.object(func(key string) error {
		_, err := e.field(r, key)
		return err
	})
	if err != nil || e.blank() {
		return m, true, err
	}
	if m, err = e.manifest(); err != nil {
		return m, false, err
	}
	if m.Path, err = cleanPath(e.path); err == nil && m.Path == "" {
		err = corrupt("path: %s names no directory", quote(e.path))
	}
	return m, false, err
}
