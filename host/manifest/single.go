package manifest

// ParseSingle reads a backup's own manifest, as Dgraph 20.x writes it. It does not
// say where the backup is: dir is the directory that it was found in, "." or "" the
// location itself. A master manifest is ErrNested.
func ParseSingle(dir string, data []byte) (Manifest, error) {
	doc, err := parseDocument(data, MaxSingleSize)
	if err != nil {
		return Manifest{}, err
	}
	if doc.master {
		return Manifest{}, ErrNested
	}
	m := doc.backups[0]
	m.Path, err = cleanPath(dir)
	return m, err
}

// EncodeSingle writes m's own manifest as Dgraph 20.x does. It refuses what 20.x
// could not read: namespaces other than 0, and other compression than gzip.
func EncodeSingle(m *Manifest) ([]byte, error) {
	data, err := m.encodeSingle()
	if err != nil {
		return nil, inside(err, "backup %s", m.ID())
	}
	return append(data, '\n'), nil
}
