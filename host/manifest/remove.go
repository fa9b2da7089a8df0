package manifest

import (
	"bytes"
	"slices"
)

// RemoveMaster takes backups out of a master manifest: those in the directories
// that gone picks. The others stay byte for byte and in their order; if nothing
// is picked, old comes back as it was.
func RemoveMaster(old []byte, gone func(path string) bool) ([]byte, error) {
	doc, err := parseDocument(old, MaxMasterSize)
	if err != nil {
		return nil, err
	}
	if !doc.master {
		return nil, unfit("%s belongs to one backup of Dgraph 20.x, which lies here by itself", MasterName)
	}
	var kept [][]byte
	for _, l := range doc.listed {
		if l.path == "" || !gone(l.path) {
			kept = append(kept, bytes.TrimLeft(old[l.begin:l.end], ", \t\r\n"))
		}
	}
	if len(kept) == len(doc.listed) {
		return old, nil
	}
	return slices.Concat(old[:doc.listed[0].begin], bytes.Join(kept, []byte{','}), old[doc.end:]), nil
}
