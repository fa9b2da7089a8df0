package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/brock-backup/brock/host/dgraph"
)

// The three orders in which Dgraph has written a manifest's keys. The fields' order is
// the format: what Brock writes cannot be told from Dgraph's.
type (
	wire20 struct {
		Type      string              `json:"type"`
		Since     uint64              `json:"since"`
		Groups    map[uint32][]string `json:"groups"`
		ID        string              `json:"backup_id"`
		Number    int                 `json:"backup_num"`
		Encrypted bool                `json:"encrypted"`
		Drops     []wireDrop          `json:"drop_operations"`
	}
	wire21 struct {
		Type        string              `json:"type"`
		Since       uint64              `json:"since"`
		ReadTs      uint64              `json:"read_ts"`
		Groups      map[uint32][]string `json:"groups"`
		ID          string              `json:"backup_id"`
		Number      int                 `json:"backup_num"`
		Version     dgraph.Form         `json:"version"`
		Path        string              `json:"path"`
		Encrypted   bool                `json:"encrypted"`
		Drops       []wireDrop          `json:"drop_operations"`
		Compression string              `json:"compression"`
	}
	wire23 struct {
		Type        string              `json:"type"`
		Since       uint64              `json:"since"`
		ReadTs      uint64              `json:"read_ts"`
		ID          string              `json:"backup_id"`
		Number      int                 `json:"backup_num"`
		Version     dgraph.Form         `json:"version"`
		Path        string              `json:"path"`
		Encrypted   bool                `json:"encrypted"`
		Compression string              `json:"compression"`
		Groups      map[uint32][]string `json:"groups"`
		Drops       []wireDrop          `json:"drop_operations"`
	}
)

func unfit(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnfit}, args...)...)
}

// encodeSingle writes m as its own manifest.
func (m *Manifest) encodeSingle() ([]byte, error) {
	if m.Compression != "gzip" {
		return nil, unfit("Dgraph 20.x reads gzip only, and this backup's compression is %s", m.Compression)
	}
	groups, drops, err := m.wire(dgraph.FormV20)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire20{m.typeName(), m.ReadTs, groups, m.Series, m.Number, m.Encrypted, drops})
}

// encodeEntry writes m as an entry of a master manifest.
func (m *Manifest) encodeEntry() ([]byte, error) {
	groups, drops, err := m.wire(m.Form)
	if err != nil {
		return nil, err
	}
	if m.Path == "" {
		return nil, unfit("it lies in the location itself, where a master manifest has its place")
	}
	switch m.Form {
	case dgraph.FormV20: // as Dgraph takes it over from 20.x
		return json.Marshal(wire23{m.typeName(), m.ReadTs, 0, m.Series, m.Number, m.Form, m.Path, m.Encrypted, "", groups, drops})
	case dgraph.FormV21:
		return json.Marshal(wire21{m.typeName(), 0, m.ReadTs, groups, m.Series, m.Number, m.Form, m.Path, m.Encrypted, drops, m.compression()})
	}
	return json.Marshal(wire23{m.typeName(), 0, m.ReadTs, m.Series, m.Number, m.Form, m.Path, m.Encrypted, m.compression(), groups, drops})
}

// wire writes what names predicates in form f.
func (m *Manifest) wire(f dgraph.Form) (groups map[uint32][]string, drops []wireDrop, err error) {
	if p, err := cleanPath(m.Path); err != nil || p != m.Path {
		return nil, nil, unfit("path %s is not a directory of the location", quote(m.Path))
	}
	if m.Kind != KindDgraph {
		return nil, nil, unfit("Dgraph has no manifest for data of kind %s", m.Kind)
	}
	if groups, err = m.wireGroups(f); err != nil {
		return nil, nil, inside(err, "groups")
	}
	drops, err = m.wireDrops(f)
	return groups, drops, inside(err, "drop_operations")
}

func (m *Manifest) typeName() string {
	if m.Full {
		return "full"
	}
	return "incremental"
}

// compression is what Dgraph calls it: S2 goes by the name of snappy, and for
// gzip no name is the one that every version knows.
func (m *Manifest) compression() string {
	switch m.Compression {
	case "gzip":
		return ""
	case "s2":
		return "snappy"
	}
	return m.Compression
}

// wireGroups writes the groups' names in form f, sorted.
func (m *Manifest) wireGroups(f dgraph.Form) (map[uint32][]string, error) {
	groups := make(map[uint32][]string, len(m.Groups))
	for id, ps := range m.Groups {
		names := make([]string, len(ps))
		for i, p := range ps {
			var err error
			if names[i], err = formatName(p, f); err != nil {
				return nil, inside(err, "%d", id)
			}
		}
		slices.Sort(names)
		groups[id] = slices.Compact(names)
	}
	return groups, nil
}

func formatName(p dgraph.Predicate, f dgraph.Form) (string, error) {
	if p.Name == "" || len(p.Name) > maxName {
		return "", unfit("a name of %d bytes", len(p.Name))
	}
	if !utf8.ValidString(p.Name) {
		return "", unfit("JSON would damage the name of %s, which is not UTF-8", quote(p.String()))
	}
	s, err := p.Format(f)
	if err != nil {
		return "", unfit("%w", err)
	}
	return s, nil
}
